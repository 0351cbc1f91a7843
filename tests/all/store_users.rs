//! A store in a folder that a group shares: two real users, one of whom makes everything private.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::users::Users;

#[test]
fn what_one_writes_the_other_reads_and_goes_on_from_whatever_their_umasks() {
    let Some(users) = Users::new() else { return };
    let [private, open] = &users.both;
    let place = users.env.path("shared");
    fs::create_dir(&place).unwrap();
    chown(&place, Some(private.number), Some(users.group_number())).unwrap();
    fs::set_permissions(&place, PermissionsExt::from_mode(0o2775)).unwrap();
    let store = place.to_str().unwrap();
    let set = place.join("set");
    let set = set.to_str().unwrap();
    let _ = users.run(private, &["store", "create", store]).exits(0);
    for (number, user) in [private, open, private, open].into_iter().enumerate() {
        let data = user.home("data");
        assert!(users.can(user, &format!("mkdir -p {0} && echo {number} > {0}/f", data.display())));
        let name = number.to_string();
        let _ = users.run(user, &["ingest", "data", "--into", set, "--create", "--as", &name]).exits(0);
        for reader in [private, open] {
            assert_eq!(users.run(reader, &["cat", &format!("{set}@{name}:f")]).exits(0).stdout, format!("{number}\n"));
            let _ = users.run(reader, &["store", "check", store]).exits(0);
        }
    }
    let _ = users.run(open, &["verify", store]).exits(0);
}

#[test]
fn a_check_finds_what_only_another_may_read() {
    let Some(users) = Users::new() else { return };
    let env = &users.env;
    env.write("data/f", "1");
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let newest = crate::env::everything_below(&env.path("store/log")).pop().unwrap();
    fs::set_permissions(&newest, PermissionsExt::from_mode(0o600)).unwrap();
    let store = env.path("store");
    let said = users.run(&users.both[0], &["store", "check", store.to_str().unwrap()]).exits(6);
    assert!(said.stdout.contains("failed    may read"), "{}", said.stdout);
}

#[test]
fn a_store_is_shared_by_the_next_command_after_its_folder() {
    let Some(users) = Users::new() else { return };
    let [private, open] = &users.both;
    let place = private.home("made");
    let store = place.to_str().unwrap();
    let _ = users.run(private, &["store", "create", store]).exits(0);
    let group = users.group_number();
    crate::env::everything_below(&place)
        .iter()
        .chain([&place])
        .for_each(|path| chown(path, None, Some(group)).unwrap());
    assert!(users.can(private, &format!("chmod 755 {} && chmod 2775 {store}", private.home("").display())));
    let said = users.run(open, &["store", "info", store]).exits(6).stderr;
    assert!(said.contains("chmod -R g+rX"), "{said}");
    let _ = users.run(private, &["store", "info", store]).exits(0);
    let _ = users.run(open, &["store", "check", store]).exits(0);
    assert!(users.can(open, &format!("mkdir -p {0} && echo 1 > {0}/f", open.home("data").display())));
    let _ = users.run(open, &["ingest", "data", "--into", &format!("{store}//set"), "--create"]).exits(0);
    assert_eq!(users.run(private, &["cat", &format!("{store}//set@:f")]).exits(0).stdout, "1\n");
}
