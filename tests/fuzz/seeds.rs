//! The first inputs of each target: small, valid, with each form of the format in one of them.

use std::collections::BTreeMap;

use dagset::base::{BranchName, DatasetName, Id, ObjectName, RefName, Time};
use dagset::chunk::compress::{compress, compress_against};
use dagset::format::attrs::{Attrs, Value, encode_out_of_line};
use dagset::format::codec::Put;
use dagset::format::header::ObjectKind;
use dagset::format::hint::{self, ChildShape};
use dagset::format::index::IndexBuilder;
use dagset::format::lock_file::{LockFile, Pin};
use dagset::format::manifest::{Entry, EntryAttrs, EntryKind};
use dagset::format::node::{TreeKind, Weight};
use dagset::format::operation::{IndexRow, Operation, Things, VersionRow};
use dagset::format::pack::{FinishedPack, ItemKind, NewItem, PackBuilder};
use dagset::format::place::{Encoding, FramePlace, Place};
use dagset::format::recipe::{RecipeChild, RecipePage, RecipeRoot};
use dagset::format::record::{FOLD_RULE, Record, RecordCore, StateRef};
use dagset::format::state::StateRow;
use dagset::format::store_file::StoreFile;
use dagset::format::tombstone::{Purged, Tombstone};
use dagset::format::tree::TreeBuilder;
use dagset::format::usage::Use;
use dagset::format::version::{Extension, Parent, Version};

type Seeds = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// The seeds by target.
pub fn all() -> Seeds {
    let mut seeds = Seeds::new();
    seeds.insert("record", vec![record(1, 0), record(40, 3)]);
    seeds.insert("operations", vec![encoded(&operations())]);
    seeds.insert("version", vec![version(0), version(2)]);
    seeds.insert("use", vec![used(None), used(Some("resnet"))]);
    seeds.insert("manifest-node", nodes(TreeKind::Manifest).into_iter().chain([steep_node()]).collect());
    seeds.insert("state-node", nodes(TreeKind::State));
    seeds.insert("entry", entries().iter().map(Entry::encode).collect());
    seeds.insert("recipe-root", vec![recipe_root(0), recipe_root(2)]);
    seeds.insert("recipe-page", vec![RecipePage { level: 1, children: children() }.encode()]);
    seeds.insert("attrs", vec![attrs().encode(), Attrs::default().encode()]);
    seeds.insert("attrs-out-of-line", vec![encode_out_of_line(&attrs())]);
    seeds.insert("place", vec![put(&place(1), Place::put), put(&based_place(), Place::put)]);
    seeds.insert("hint", vec![hint_of_page(), vec![3, 0, 0, 0]]);
    let packs =
        [("pack-data", ObjectKind::Pack), ("pack-meta", ObjectKind::MetaPack), ("pack-state", ObjectKind::State)];
    for (name, kind) in packs {
        seeds.insert(name, vec![pack(kind, 3).bytes, PackBuilder::new(kind).finish().bytes]);
    }
    let tail = |more: u8| [&[more][..], &pack(ObjectKind::MetaPack, 2).bytes[usize::from(more)..]].concat();
    seeds.insert("pack-tail", vec![tail(0), tail(40)]);
    seeds.insert("index", vec![index(0), index(4)]);
    let file = StoreFile { store: [7; 16], created: Time(1_700_000_000_123), tool: "dagset 0.1.0".to_owned() };
    seeds.insert("store-file", vec![file.encode()]);
    seeds.insert("state-row", state_rows());
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let addresses = [
        "signs@1.0~2:train/a.jpg",
        "/data/store//vision/signs@main^2",
        "s3://bucket/x/signs:",
        "~/st@re//signs",
        ":a@b",
    ];
    seeds.insert("address", texts(&addresses));
    seeds.insert("ref", texts(&["main~3^2~", "team/a", "~", "^^~10", "1.0+b"]));
    let conditions = [
        "meta.task = \"detection\" and not (files < 100 or bytes >= 1e9)",
        "time > '2026-01-31' or author != \"a\\\"b\" and (name = null or meta.a-b = true) and versions <= -7 and dataset='x'",
    ];
    seeds.insert("condition", texts(&conditions));
    let file_conditions = [
        "path ~ 'people/*/[a-c]?.{png,jpg}' and not (bytes < 1e6 or executable = true)",
        "suffix = \"png\" or attr.label ~ \"c*t\" and meta.task != null and name = '1.0' and time >= '2026-01-31'",
    ];
    seeds.insert("file-condition", texts(&file_conditions));
    seeds.insert("chunk", chunks());
    seeds.insert("lock-file", vec![lock_file(), b"format = 1\n".to_vec()]);
    seeds.insert("ignore-file", texts(&["*.tmp\n!keep.tmp\n# note\n/build/\n**/x/**\n[a-c]?.o\n\\#a\n", "{a,b}*/\n"]));
    seeds.insert("patterns", texts(&["a/b.txt\n*.txt\n**/x/**\n{a,b}?/[a-c]*\n./build/\n", "."]));
    seeds.insert("path", texts(&["a/b c/ä.txt", "...", ".git/config"]));
    seeds.insert("part", texts(&["train/=as/there/", "=b/", "date=2024/", ""]));
    seeds.insert("share", texts(&["2/8", "1000000/1000000"]));
    seeds.insert("grouping", texts(&["content", "folder:2", "name:{}_*.png", "attr:label"]));
    seeds.insert("until", texts(&["30%", "5000", "0.5%"]));
    seeds.insert("hold-by", texts(&["pid:1", "1", "job:train-7"]));
    seeds.insert("time", texts(&["2026-01-31", "2026-01-31T12:00:00.5+02:00", "-009999-01-02T01:59:59Z"]));
    seeds.insert("object-name", vec![name(3).to_string().into_bytes()]);
    seeds.extend(files());
    seeds
}

/// What a workspace and a cache keep, as they write it.
fn files() -> Seeds {
    let hex = |seed| id(seed).to_string();
    let [one, two] = [1, 2].map(hex);
    let config = "dataset = \"a/b\"\nstore = \"embedded\"\n\n[remote.origin]\nurl = \"s3://bucket/x\"\nprofile = \"team\"\n\
                  region = \"eu-north-1\"\npath_style = true\n";
    let state = format!(
        r#"{{"schema":1,"branch":"main","base":"{one}","unwritten":null,"checkout":{{"branch":"b/c","version":"{two}"}}}}"#
    );
    let merge = format!(
        r#"{{"schema":1,"base":null,"parents":[["{one}","main"],["{two}","b"]],"name":"1.0","bump":null,"message":"m","rules":[["*.csv","first"]],"#
    ) + r#""meta":{"k":"v"},"laid":false,"conflicts":[{"path":"a/b","did":["added","removed"],"beside":["a/b.b"],"by_hand":false,"taken":1}]}"#;
    let hold = format!(
        r#"{{"held":{{"List":"{one}"}},"address":"./s/d@1","version":"{two}","files":3,"bytes":9,"is_pin":false,"#
    ) + r#""host":"h","boot":"b","processes":"pid:[1]","mounts":"mnt:[1]","process":[7,8],"job":"j","link":"/w","made":5,"ends":9}"#;
    let view = format!(
        "address = \"./s/d@1\"\nversion = \"{one}\"\nlist = \"{two}\"\nfiles = 3\nbytes = 9\ntree = \"{one}-0123456789abcdef\"\n"
    );
    let of = |text: &str| vec![text.as_bytes().to_vec()];
    [
        ("workspace-config", of(config)),
        ("workspace-state", of(&state)),
        ("workspace-staged", of("a/b\0c\nd\0")),
        ("workspace-merge", of(&merge)),
        ("cache-config", of("format = 1\nmax_bytes = 1000000\nkeep_free_percent = 5\ngroup = 100\n")),
        ("cache-hold", of(&hold)),
        ("cache-view", of(&view)),
        ("cache-usage", of("1000 1700000000 - 0123456789ab\n")),
    ]
    .into()
}

fn put<T>(value: &T, put: fn(&T, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(value, &mut out);
    out
}

fn encoded(operations: &[Operation]) -> Vec<u8> {
    operations.iter().flat_map(|operation| put(operation, Operation::put)).collect()
}

fn id(seed: u8) -> Id {
    Id::of(&[seed])
}

fn name(seed: u8) -> ObjectName {
    ObjectName { born: u64::from(seed) * 300, random: [seed; 16] }
}

fn dataset() -> DatasetName {
    DatasetName::new("vision/signs").expect("a good name")
}

fn attrs() -> Attrs {
    let pairs = [
        ("flag", Value::Bool(true)),
        ("label", Value::Text("stop".to_owned())),
        ("none", Value::Null),
        ("score", Value::Float(0.5)),
        ("width", Value::Int(-640)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn place(seed: u8) -> Place {
    let frame =
        FramePlace { pack: name(seed), offset: 1016, stored_bytes: 500, raw_bytes: 900, encoding: Encoding::Zstd };
    Place { frame, at: 100, len: 700, hint_len: 50 }
}

fn based_place() -> Place {
    let plain = place(2);
    Place { frame: FramePlace { encoding: Encoding::Based(id(9)), ..plain.frame }, ..plain }
}

fn index_row(seed: u8) -> IndexRow {
    IndexRow { name: name(seed), bytes: 5_000, id: id(seed), packs: 2, pack_bytes: 1 << 25, meta_bytes: 9_000 }
}

fn version_row() -> VersionRow {
    VersionRow {
        version: id(1),
        manifest: id(2),
        parents: vec![id(3), id(4)],
        time: Time(1_700_000_000_000),
        files: 3,
        bytes: 100_000,
        stored_bytes: 900,
        version_place: place(1),
        manifest_place: based_place(),
    }
}

fn operations() -> Vec<Operation> {
    let things = || Things { versions: vec![id(1)], packs: vec![name(2)] };
    let branch = BranchName::new("main").expect("a good name");
    let tag = RefName::new("best").expect("a good name");
    let note = || "why".to_owned();
    let meta =
        |version, value| Operation::SetMetadata { dataset: dataset(), version, key: "licence".to_owned(), value };
    vec![
        Operation::StoreCreated { store: [7; 16] },
        Operation::Register { indexes: vec![index_row(1)] },
        Operation::CreateDataset { dataset: dataset() },
        Operation::AddVersion { dataset: dataset(), row: Box::new(version_row()) },
        Operation::SetBranch { dataset: dataset(), branch, old: None, new: Some(id(1)) },
        Operation::TakeName { dataset: dataset(), name: RefName::new("1.0").expect("a good name"), version: id(1) },
        Operation::SetTag { dataset: dataset(), tag, old: Some(id(3)), new: None, protected: false },
        Operation::Publish { dataset: dataset(), version: id(1), note: note() },
        meta(Some(id(1)), Some(Value::Text("CC0".to_owned()))),
        meta(None, None),
        Operation::Rely(things()),
        Operation::ReplaceIndexes { removed: vec![name(1)], added: vec![index_row(3)] },
        Operation::Mark,
        Operation::VoidBefore { born: 12 },
        Operation::Condemn { mark: 4, things: things() },
        Operation::Rescue(things()),
        Operation::Reclaim(things()),
        Operation::Expel { contents: vec![Purged { content: id(5), size: 70_000 }], reason: note() },
        Operation::Readmit { contents: vec![id(5)] },
        Operation::CondemnContents { mark: 4, versions: vec![id(5)] },
        Operation::LetGo { versions: vec![id(5)] },
        Operation::DropName { dataset: dataset(), name: RefName::new("1.0").expect("a good name"), version: id(1) },
        Operation::RenameDataset { dataset: dataset(), to: DatasetName::new("other").expect("a good name") },
        Operation::DeleteDataset { dataset: dataset() },
        Operation::RestoreDataset { dataset: dataset(), deletion: 12 },
        Operation::Reason { text: note() },
        Operation::Unknown { code: 90, critical: false, payload: vec![1, 2, 3] },
    ]
}

fn record(number: u64, earlier: u64) -> Vec<u8> {
    let core = |number: u64, operations| RecordCore {
        number,
        before: if number == 1 { Id::ZERO } else { id(number as u8) },
        nonce: [number as u8; 16],
        actor: "ann".to_owned(),
        time: Time(1_700_000_000_000),
        fold_rule: FOLD_RULE,
        context: attrs(),
        operations,
    };
    let extension = Extension { key: "sig".to_owned(), critical: false, value: vec![5; 9] };
    let record = Record {
        core: core(number, operations()),
        state: (number > 1).then(|| StateRef { number: number - 1, place: place(1), root: id(8) }),
        earlier: (number - earlier..number).map(|number| core(number, vec![Operation::Mark])).collect(),
        extensions: vec![extension],
    };
    record.encode()
}

fn version(parents: u8) -> Vec<u8> {
    let parent = |seed: u8| Parent { id: id(seed), role: ["", "augmented"][usize::from(seed % 2)].to_owned() };
    let version = Version {
        manifest: id(1),
        files: 300,
        bytes: 1 << 30,
        parents: (0..parents).map(parent).collect(),
        author: "ann".to_owned(),
        time: Time(1_700_000_000_000),
        message: "more signs".to_owned(),
        meta: attrs(),
        provenance: Attrs::default(),
        extensions: vec![Extension { key: "sig".to_owned(), critical: false, value: vec![5; 9] }],
    };
    version.encode().expect("within the limits")
}

fn used(model: Option<&str>) -> Vec<u8> {
    let used = Use {
        version: id(1),
        dataset: dataset(),
        path: model.map(|_| "train".to_owned()),
        run: "run-7".to_owned(),
        model: model.map(str::to_owned),
        system: model.map(|_| "slurm".to_owned()),
        url: model.map(|_| "https://ci.example/7".to_owned()),
        actor: "ann".to_owned(),
        time: Time(1_700_000_000_000),
        meta: attrs(),
        provenance: attrs(),
        more: model.map(|_| attrs()).unwrap_or_default(),
    };
    used.encode().expect("within the limits")
}

fn lock_file() -> Vec<u8> {
    let pin = |store: &str, more: Option<&str>| Pin {
        store: store.to_owned(),
        dataset: dataset(),
        reference: more.map(str::to_owned),
        path: more.map(|_| "train/".to_owned()),
        version: id(1),
        name: more.map(|_| RefName::new("1.0").expect("a good name")),
        manifest: id(2),
    };
    let maps = DatasetName::new("maps").expect("a good name");
    let pins = [(dataset(), pin("s3://bucket/data", Some("main~1"))), (maps, pin("./store", None))];
    LockFile { pins: pins.into() }.encode().expect("texts").into_bytes()
}

fn entries() -> Vec<Entry> {
    let file = |size| EntryKind::File { size, content: id(size as u8), executable: size == 0 };
    vec![
        Entry::plain(file(0)),
        Entry { kind: file(300), attrs: EntryAttrs::Inline(attrs()) },
        Entry { kind: file(1 << 40), attrs: EntryAttrs::OutOfLine(id(7)) },
        Entry::plain(EntryKind::Symlink { target: "../b".into() }),
        Entry::plain(EntryKind::EmptyFolder),
    ]
}

/// A leaf and an inner node or two of a small map with long keys, so that few make a node.
fn nodes(kind: TreeKind) -> Vec<Vec<u8>> {
    let mut nodes = vec![vec![
        match kind {
            TreeKind::Manifest => 1,
            TreeKind::State => 7,
        },
        0,
        0,
    ]];
    let entries = entries();
    let mut builder = TreeBuilder::new(kind, |node| {
        nodes.push(node.bytes);
        Ok(())
    });
    for number in 0..300usize {
        let key = format!("{}/{number:04}", "long".repeat(300));
        let entry = &entries[number % entries.len()];
        let weight = Weight { entries: 1, files: entry.is_file().into(), bytes: entry.bytes() };
        builder.push(key.as_bytes(), &entry.encode(), weight).expect("ascending keys");
    }
    builder.finish().expect("a root");
    nodes.sort_by_key(|node| (node[1], node.len()));
    nodes.dedup_by_key(|node| (node[1], node.len() / 4_096));
    nodes
}

/// A leaf of few bytes whose keys share long prefixes: written out in full they are far more than a node may have.
fn steep_node() -> Vec<u8> {
    const KEYS: u16 = 1_000;
    const SHARED: usize = 4_000;
    let mut out = vec![1, 0];
    out.put_count(KEYS.into());
    for number in 0..KEYS {
        let [high, low] = number.to_be_bytes();
        // Where the first of the two bytes is that of the key before, it's shared too.
        let shares = if number == 0 { 0 } else { SHARED + usize::from(low != 0) };
        let key = [&[b'k'; SHARED][..], &[high, low]].concat();
        out.put_count(shares);
        out.put_bytes(&key[shares..]);
        out.put_bytes(b"");
    }
    out
}

fn children() -> Vec<RecipeChild> {
    (1..6u8).map(|seed| RecipeChild { id: id(seed), bytes: 30_000 * u64::from(seed) }).collect()
}

fn recipe_root(level: u8) -> Vec<u8> {
    RecipeRoot { content: id(1), size: 450_000, level, children: children() }.encode()
}

fn hint_of_page() -> Vec<u8> {
    let frame = place(1).frame;
    let next = FramePlace { offset: frame.offset + frame.stored_bytes, encoding: Encoding::Based(id(3)), ..frame };
    let chunk = |frame, at, hundreds: u32| {
        let len = hundreds * 100;
        (ChildShape::Chunk { len }, Some(Place { frame, at, len, hint_len: 0 }))
    };
    let page = [
        chunk(frame, 0, 2),
        chunk(frame, 200, 3),
        (ChildShape::Meta, Some(Place { frame: next, at: 0, len: 50, hint_len: 4 })),
        (ChildShape::Meta, None),
        (ChildShape::Meta, Some(based_place())),
    ];
    let mut out = vec![page.len() as u8, 2, 3, 0, 0, 0];
    out.extend(hint::encode(&page));
    out
}

fn pack(kind: ObjectKind, frames: u8) -> FinishedPack {
    let mut builder = PackBuilder::new(kind);
    for frame in 0..frames {
        let (item_kind, hint_len) = match kind {
            ObjectKind::Pack => (ItemKind::Chunk, 0),
            ObjectKind::State => (ItemKind::StateNode, 5),
            _ => (ItemKind::ALL[1 + usize::from(frame % 6)], 7),
        };
        let raw: Vec<u8> = [frame; 90].to_vec();
        let first = NewItem { id: id(frame), kind: item_kind, len: 60 - hint_len, hint_len };
        let second = NewItem { id: id(frame + 100), kind: item_kind, len: 30, hint_len: 0 };
        let (stored, encoding) = match frame % 3 {
            0 => (&raw[..], Encoding::Raw),
            1 => (&raw[..40], Encoding::Zstd),
            _ => (&raw[..20], Encoding::Based(id(1))),
        };
        builder.add_frame(stored, 90, encoding, &[first, second]).expect("within the limits");
    }
    builder.finish()
}

fn index(packs: u8) -> Vec<u8> {
    let mut builder = IndexBuilder::new();
    for seed in 0..packs {
        let kind = [ObjectKind::Pack, ObjectKind::MetaPack, ObjectKind::State][usize::from(seed % 3)];
        let pack = pack(kind, 3 + seed);
        builder.add_pack(name(seed), kind, pack.bytes.len() as u64, &pack.footer).expect("a pack that can be");
    }
    builder.finish().expect("packs that agree")
}

fn state_rows() -> Vec<Vec<u8>> {
    let version = || id(1);
    let branch = BranchName::new("main").expect("a good name");
    let text = |text: &str| RefName::new(text).expect("a good name");
    let meta = |version| StateRow::Metadata { dataset: dataset(), version, key: "k".to_owned(), value: Value::Int(4) };
    let rows = [
        StateRow::Head { number: 9, record: id(3), fold_rule: FOLD_RULE, store: [7; 16] },
        StateRow::Index(index_row(1)),
        StateRow::Dataset { dataset: dataset(), created: Time(5) },
        StateRow::CondemnedContent { version: id(5), record: 6 },
        StateRow::LetGo { version: id(5), record: 7, time: Time(8) },
        StateRow::Expelled {
            content: id(6),
            tombstone: Tombstone { record: 4, time: Time(5), size: 70_000, reason: "why".into() },
        },
        StateRow::Branch { dataset: dataset(), branch, version: version() },
        StateRow::Name { dataset: dataset(), name: text("1.0"), version: version() },
        StateRow::Tag { dataset: dataset(), tag: text("best"), version: version(), protected: true },
        StateRow::Version { dataset: dataset(), record: 4, row: Box::new(version_row()), published: true },
        meta(None),
        meta(Some(version())),
    ];
    let with_len = |row: &StateRow| {
        let mut out = Vec::new();
        out.put_u8(row.key().len() as u8);
        out.extend([row.key(), row.value()].concat());
        out
    };
    rows.iter().map(with_len).collect()
}

fn chunks() -> Vec<Vec<u8>> {
    let raw = b"a row of labels, and another; ".repeat(40);
    // A copy: a base mustn't share memory with what is compressed against it.
    let base = raw[..200].to_vec();
    let seed = |base: &[u8], stored: Vec<u8>| {
        [&(raw.len() as u16).to_le_bytes()[..], &[base.len() as u8], base, &stored].concat()
    };
    let against = compress_against(&raw, &base).expect("it repeats itself");
    vec![seed(&[], compress(&raw).expect("it repeats itself")), seed(&base, against)]
}
