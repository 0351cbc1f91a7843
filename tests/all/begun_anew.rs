//! What a collection makes void while it is under way is done once more, by itself: the same for all that make versions.

use std::sync::Mutex;
use std::time::Duration;

use dagset::base::Result;
use dagset::engine::{Engine, GcOptions, IngestOptions, MergeOptions, RefExpr, SquashOptions};
use dagset::store::Bucket;

use crate::machine::{FAR, Machine, address};
use crate::stage::noise;
use crate::steered::Steered;

/// Versions 1.0 to 1.2 on main, one on a branch `side` of it, and what is dead.
fn a_store() -> Machine {
    let machine = Machine::with_store();
    let publish = |dataset: &str, name: &str, branch: &str, parents: &[&str]| {
        machine.write(&format!("{branch}/{name}"), name);
        let options = IngestOptions {
            source: machine.path(branch),
            into: format!("{FAR}//{dataset}"),
            create: true,
            branch: Some(branch.to_owned()),
            name: Some(name.to_owned()),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
            ..IngestOptions::default()
        };
        machine.run(|engine| engine.ingest(&options));
    };
    ["1.0", "1.1", "1.2"].iter().for_each(|name| publish("set", name, "main", &[]));
    publish("set", "s", "side", &["1.0"]);
    machine.write("dead/large", noise(1, 3_000_000));
    publish("dead", "d", "dead", &[]);
    machine.run(|engine| engine.delete_dataset(&address(&format!("{FAR}//dead")), &Default::default()));
    machine
}

/// The store, in which all that is dead is collected right before the first object of the next session comes.
fn collected_meanwhile(far: &Bucket) -> Bucket {
    let collector = Mutex::new(Some(Machine::new(far)));
    Steered::bucket(far, move |name| {
        let collector = collector.lock().expect("no collection panics").take_if(|_| name.starts_with("meta/"));
        let options = GcOptions { grace: Duration::ZERO, dry_run: false };
        for _ in 0..2 {
            collector.iter().for_each(|collector| drop(collector.run(|engine| engine.gc(&address(FAR), &options))));
        }
    })
}

#[track_caller]
fn assert_begins_anew<T>(work: impl FnOnce(&Engine) -> Result<T>) {
    let machine = a_store();
    let far = machine.far().clone();
    let writer = machine.facing(&collected_meanwhile(&far));
    let (done, _, said) = writer.try_run(Default::default(), work);
    done.map(drop).unwrap_or_else(|fault| panic!("{}", crate::stage::whole_text(&fault)));
    assert!(said.contains("beginning anew"), "{said}");
}

fn at(reference: &str) -> dagset::engine::Address {
    address(&format!("{FAR}//set@{reference}"))
}

#[test]
fn a_merge_does() {
    let options = MergeOptions { branch: Some("out".to_owned()), ..MergeOptions::default() };
    assert_begins_anew(|engine| engine.merge(&[at("main"), at("side")], &options));
}

#[test]
fn a_revert_does() {
    assert_begins_anew(|engine| engine.revert(&at("1.1"), None, &MergeOptions::default()));
}

#[test]
fn a_squash_does() {
    let options = SquashOptions {
        base: at("1.0"),
        tip: RefExpr::parse("1.2").expect("a ref"),
        name: "2.0".to_owned(),
        message: None,
        reason: None,
        dry_run: false,
    };
    assert_begins_anew(|engine| engine.squash(&options));
}
