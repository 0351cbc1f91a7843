//! What a collection makes void while it is under way is done once more, by itself: the same for all that make versions.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    collected_before(far, |name| name.starts_with("meta/"))
}

/// The same, before the first object of which `is_due` holds.
fn collected_before(far: &Bucket, is_due: impl Fn(&str) -> bool + Send + Sync + 'static) -> Bucket {
    let collector = Mutex::new(Some(Machine::new(far)));
    Steered::bucket(far, move |name| {
        let collector = collector.lock().expect("no collection panics").take_if(|_| is_due(name));
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

/// Collections take what the writer has just stored, before each of its objects in turn.
#[test]
fn an_ingest_ends_well_whichever_of_its_objects_is_collected_first() {
    for at in 0.. {
        let machine = a_store();
        machine.write("new/large", noise(2, 3_000_000));
        let far = machine.far().clone();
        let count = AtomicUsize::new(0);
        let writer = machine.facing(&collected_before(&far, move |_| count.fetch_add(1, Ordering::Relaxed) == at));
        let options = IngestOptions {
            source: writer.path("new"),
            into: format!("{FAR}//set"),
            branch: Some("new".to_owned()),
            ..IngestOptions::default()
        };
        let (done, cost, said) = writer.try_run(Default::default(), |engine| engine.ingest(&options));
        done.map(drop).unwrap_or_else(|fault| panic!("{at}: {}", crate::stage::whole_text(&fault)));
        let reader = Machine::new(&far);
        assert_eq!(crate::stage::findings(&reader.engine(Default::default()), FAR), [""; 0], "{at}");
        reader.run(|engine| engine.cat(&address(&format!("{FAR}//set@new:large")), &mut std::io::sink()));
        if at as u64 >= cost.puts {
            assert!(at > 3 && !said.contains("beginning anew"), "{at}: {said}");
            break;
        }
    }
}
