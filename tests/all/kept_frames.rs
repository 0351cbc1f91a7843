//! Metadata that a machine keeps of a far store, where bits of it flip: on the disk, and before it was kept.

use std::fs;
use std::path::PathBuf;

use dagset::base::Result;
use dagset::engine::{Access, Engine, GetOptions, LogOptions};

use crate::machine::{FAR, Machine, address};
use crate::stage::noise;

/// How often each command runs, over other flips each time.
const SEEDS: usize = 50;
/// The hash that a kept file begins with.
const CHECK_BYTES: usize = 32;

type Command = fn(&Machine, &Engine) -> Result<String>;

/// Commands that read what is kept, each with all of its answer.
const COMMANDS: [(&str, Command); 6] = [
    ("ls", |_, engine| Ok(format!("{:?}", engine.list_entries(&address(&version("main")), true)?))),
    ("diff", |_, engine| Ok(format!("{:?}", engine.diff(&address(&version("main~1")), &address(&version("main")))?))),
    ("stat", |_, engine| Ok(format!("{:?}", engine.stat(&address(&version("main:3")))?))),
    ("log", |_, engine| Ok(format!("{:?}", engine.log(&address(&version("main")), LogOptions::default())?))),
    ("cat", |_, engine| {
        let mut content = Vec::new();
        engine.cat(&address(&version("main:large")), &mut content)?;
        Ok(blake3::hash(&content).to_string())
    }),
    ("get", |machine, engine| {
        let folder = machine.path("out");
        fs::remove_dir_all(&folder).ok();
        engine.get(&address(&version("main:5")), &GetOptions { folder: folder.clone(), ..GetOptions::default() })?;
        let files = crate::env::everything_below(&folder).into_iter().filter(|path| path.is_file());
        let contents = files.map(|path| (path.clone(), fs::read_to_string(path).expect("reads")));
        Ok(format!("{:?}", contents.collect::<Vec<_>>()))
    }),
];

fn version(rest: &str) -> String {
    format!("{FAR}/set@{rest}")
}

/// A machine that has read all of two versions. Their nodes lie in two meta packs, and those of the newer one point into both.
fn warm_machine() -> Machine {
    let maker = Machine::with_store();
    for number in 0..1500 {
        maker.write(&format!("source/{}/{number}", number % 6), format!("content {number}"));
    }
    maker.write("source/large", noise(7, 6 << 20));
    maker.ingest("set", "source");
    for number in (0..1500).step_by(100) {
        maker.write(&format!("source/{}/{number}", number % 6), format!("new content {number}"));
    }
    maker.ingest("set", "source");
    Machine::new(maker.far())
}

fn kept(machine: &Machine) -> Vec<(PathBuf, Vec<u8>)> {
    let is_frame = |path: &PathBuf| path.is_file() && path.parent().is_some_and(|at| at.ends_with("meta"));
    let frames = crate::env::everything_below(&machine.mirrors()).into_iter().filter(is_frame);
    frames.map(|path| (path.clone(), fs::read(path).expect("reads"))).collect()
}

fn draw(seed: usize, below: usize) -> usize {
    let drawn = blake3::hash(&seed.to_le_bytes());
    usize::from_le_bytes(drawn.as_bytes()[..8].try_into().expect("eight bytes")) % below
}

/// Has each command answer over rotten frames, many times; `spoil` makes of a seed and a kept file what stands there then.
fn each_answers_right(spoil: impl Fn(usize, &[u8]) -> Vec<u8>) {
    let machine = warm_machine();
    let answers: Vec<String> =
        COMMANDS.iter().map(|(_, command)| machine.run(|engine| command(&machine, engine)).0).collect();
    let frames = kept(&machine);
    assert!(frames.len() > 7, "manifests, recipes and records: {}", frames.len());
    let mut asked_again = 0;
    for seed in 0..SEEDS {
        for ((name, command), answer) in COMMANDS.iter().zip(&answers) {
            for (number, (path, bytes)) in frames.iter().enumerate() {
                fs::write(path, spoil(seed * frames.len() + number, bytes)).expect("writes");
            }
            let (given, cost, _) = machine.try_run(Access::default(), |engine| command(&machine, engine));
            let given = given.unwrap_or_else(|fault| panic!("{name}, {seed}: {}", crate::stage::whole_text(&fault)));
            assert!(given == *answer, "{name}, {seed}: another answer");
            asked_again += usize::from(cost.gets > 2);
        }
    }
    assert!(asked_again > SEEDS * 3, "what is kept is read by most of the commands: {asked_again}");
}

fn flip_a_bit(seed: usize, bytes: &mut [u8]) {
    let bit = draw(seed, bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

#[test]
fn a_flipped_bit_in_every_kept_file_changes_no_answer() {
    each_answers_right(|seed, bytes| {
        let mut bytes = bytes.to_vec();
        flip_a_bit(seed, &mut bytes);
        bytes
    });
}

#[test]
fn nor_does_one_that_was_there_when_the_frame_was_kept() {
    each_answers_right(|seed, bytes| {
        let mut frame = bytes[CHECK_BYTES..].to_vec();
        flip_a_bit(seed, &mut frame);
        [blake3::hash(&frame).as_bytes(), &frame[..]].concat()
    });
}
