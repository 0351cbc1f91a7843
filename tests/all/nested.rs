//! A store can't lie in a store, from whichever side it is tried, and no hint leads there.

use crate::env::TestEnv;
use crate::s3::{Server, server};

/// Runs `play` in a folder and, where there is a server, in a bucket; the second argument is the place of two stores, `s1` and `s2`.
fn everywhere(play: impl Fn(&TestEnv, &str)) {
    let in_bucket = server(Server::Real).map(|s3| (s3.url("nested"), Some(s3)));
    for (place, s3) in [("./nested/below".to_owned(), None)].into_iter().chain(in_bucket) {
        let mut env = TestEnv::new();
        if let Some(s3) = s3 {
            s3.reach_from(&mut env);
        }
        env.write("data/a", "1");
        for store in ["s1", "s2"] {
            let _ = env.run(["ingest", "data", "--into", &format!("{place}/{store}//set"), "--create"]).exits(0);
        }
        play(&env, &place);
    }
}

#[test]
fn no_store_is_made_around_stores() {
    everywhere(|env, place| {
        let into = format!("{place}//set");
        for command in [
            &["store", "create", place][..],
            &["ingest", "data", "--into", &into, "--create"],
            &["ingest", "data", "--into", &into, "--create", "--dry-run"],
        ] {
            let refused = env.run(command).exits(4).stderr;
            let why = format!("the store {place}/s1 lies in {place}\n");
            assert!(refused.contains(&why) && refused.contains("choose another place"), "{refused}");
        }
        let _ = env.run(["list", place]).exits(3);
        for store in ["s1", "s2"] {
            assert!(env.run(["list", &format!("{place}/{store}")]).text().contains("set"));
        }
        // Beside them there is room.
        let _ = env.run(["store", "create", &format!("{place}/s3")]).exits(0);
    });
}

#[test]
fn a_check_says_where_no_store_can_be_made() {
    everywhere(|env, place| {
        let around = env.run(["store", "check", place, "--json"]).document()["steps"].to_string();
        assert!(around.contains(&format!("none can be made: the store {place}/s1 lies in {place}")), "{around}");
        let inside = env.run(["store", "check", &format!("{place}/s1/odd"), "--json"]).document();
        assert_eq!(inside["root"], format!("{place}/s1"), "{inside}");
        let steps = inside["steps"].to_string();
        assert!(steps.contains("odd is read as a dataset in it, since a store can't lie in a store"), "{steps}");
    });
}

#[test]
fn who_misses_a_store_is_told_which_there_are() {
    everywhere(|env, place| {
        let (nosuch, odd, both) = (format!("{place}/nosuch"), format!("{place}//s1/odd"), format!("{place}//nosuch/x"));
        for (command, says) in [
            (&["list", place][..], format!("no store at {place}\n")),
            (&["verify", &nosuch], format!("no store at {nosuch}\n")),
            (&["ls", &odd], format!("no store at {place}, where the dataset s1/odd is looked for\n")),
            (&["ls", &both], format!("no store at {place}, where the dataset nosuch/x is looked for\n")),
            (&["ingest", "data", "--into", &both], format!("no store at {place}, where the dataset nosuch/x is")),
        ] {
            let said = env.run(command).exits(3).stderr;
            let hint = format!("hint: there is {place}/s1, {place}/s2: `dagset list {place}/s1` shows its datasets\n");
            assert!(said.contains(&says) && said.contains(&hint), "{command:?}: {said}");
        }
        // An empty part of what stands before the last `//` isn't one that a bucket's object can have; a folder forgives it.
        let said = env.run(["ls", &format!("{place}//nosuch//x")]);
        assert!(said.code.is_some_and(|code| [2, 3].contains(&code)), "{said:?}");
        assert!(!said.stderr.contains("egment") && said.stderr.contains(&format!("{place}//nosuch")), "{said:?}");
    });
}

/// What a workspace keeps in its own folder is no dataset's neighbour.
#[test]
fn a_workspaces_own_store_keeps_none_out() {
    let env = TestEnv::new();
    let _ = env.run(["init", "lab/ws"]).exits(0);
    let _ = env.run(["store", "create", "./lab"]).exits(0);
}

/// A look into a folder ends some levels down: what lies there is out of the way.
#[test]
fn a_look_into_a_folder_is_bounded() {
    let env = TestEnv::new();
    let _ = env.run(["store", "create", "./deep/1/2/3/4/store"]).exits(0);
    let _ = env.run(["store", "create", "./deep"]).exits(0);
}
