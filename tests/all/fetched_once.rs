//! A process asks a far store for each byte of a pack once, though its workers' files share frames and lie between each other's.

use dagset::base::Observer;
use dagset::engine::GetOptions;
use dagset::store::recording::Recording;

use crate::machine::{FAR, Machine, address};
use crate::stage::{contents_read, noise};

/// Small files in many folders, and larger ones between them, whose small chunks share frames with their neighbours'.
fn lay_out(machine: &Machine) {
    for number in 0..1_500 {
        let len = 2_000 + (number * 7_919) % 60_000;
        machine.write(&format!("source/{:02}/{number:04}", number % 23), noise(number, len as usize));
    }
    for number in 0..40 {
        let len = 150_000 + (number * 104_729) % 3_000_000;
        machine.write(&format!("source/{:02}/large-{number:02}", number % 23), noise(10_000 + number, len as usize));
    }
}

#[test]
fn workers_ask_for_each_byte_once() {
    let maker = Machine::with_store();
    lay_out(&maker);
    maker.ingest("set", "source");
    let names = maker.far().list("packs").expect("is listed").objects.into_iter().map(|pack| pack.name);
    let stored: u64 =
        names.map(|name| maker.far().size(&format!("packs/{name}")).expect("asked").expect("is there")).sum();
    let recording = Recording::keeping_calls(maker.far().clone(), Observer::new());
    let reader = Machine::new(&recording.bucket());
    let options = GetOptions { folder: reader.path("out"), ..GetOptions::default() };
    reader.run(|engine| engine.get(&address(&format!("{FAR}/set")), &options));
    let packs: Vec<_> = recording.take_calls().into_iter().filter(|call| call.name.starts_with("packs/")).collect();
    let asked: u64 = packs.iter().map(|call| call.bytes).sum();
    assert!(asked <= stored, "{asked} of {stored} bytes, by {} requests", packs.len());
    assert_eq!(contents_read(&reader.path("out")), contents_read(&maker.path("source")));
}
