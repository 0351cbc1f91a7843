//! The parsers that are fuzzed: what each is given, and what must hold of what it gives back.

use dagset::base::{Id, ObjectName, RepoPath, Result, Time};
use dagset::chunk::compress::decompress;
use dagset::engine::{FileFilter, Filter, Grouping, HoldBy, Share, Until};
use dagset::format::attrs::{Attrs, encode_out_of_line, parse_out_of_line};
use dagset::format::codec::{Put, Reader, check_of};
use dagset::format::header::ObjectKind;
use dagset::format::hint::{self, ChildShape};
use dagset::format::index::Index;
use dagset::format::lock_file::LockFile;
use dagset::format::manifest::Entry;
use dagset::format::node::{Node, TreeKind};
use dagset::format::operation::Operation;
use dagset::format::pack::{Footer, NewItem, PackBuilder, TailParse, frame_is_intact, parse_footer, parse_pack};
use dagset::format::place::Place;
use dagset::format::recipe::{RecipePage, RecipeRoot};
use dagset::format::record::Record;
use dagset::format::state::StateRow;
use dagset::format::store_file::StoreFile;
use dagset::format::usage::Use;
use dagset::format::version::Version;
use dagset::store::address::{Address, RefExpr};
use dagset::tree::Selection;
use dagset::tree::ignore::Rules;
use dagset::tree::part::Part;

/// Something that is done to an input.
type Run<T> = Box<dyn Fn(&[u8]) -> T>;

/// A parser under test.
pub struct Target {
    pub name: &'static str,
    /// Parses, and drops what it got; whether it got anything.
    pub parse: Run<bool>,
    /// Parses, and panics unless what parsed encodes to the same bytes, or holds what else it must.
    pub check: Run<()>,
    /// Mends hashes and checks, so that a mutation reaches what lies behind them.
    pub seal: fn(&mut Vec<u8>),
    /// Whether docs/format.md §1 bounds its memory.
    pub is_bounded: bool,
    /// Mutations in an ordinary test run.
    pub rounds: u64,
}

const ROUNDS: u64 = 4_000;

/// A target whose values give back their bytes; `None` where `encode` has looked for itself.
fn target<T: 'static>(
    name: &'static str,
    parse: fn(&[u8]) -> Result<T>,
    encode: fn(&T, &[u8]) -> Option<Vec<u8>>,
) -> Target {
    let check = move |bytes: &[u8]| {
        let Ok(value) = parse(bytes) else { return };
        if let Some(again) = encode(&value, bytes) {
            assert!(again == bytes, "it encodes to other bytes");
        }
    };
    Target {
        name,
        parse: Box::new(move |bytes| parse(bytes).is_ok()),
        check: Box::new(check),
        seal: |_| (),
        is_bounded: true,
        rounds: ROUNDS,
    }
}

impl Target {
    fn sealed(self, seal: fn(&mut Vec<u8>)) -> Target {
        Target { seal, ..self }
    }
}

/// Every target, by name.
pub fn all() -> Vec<Target> {
    of_bytes().into_iter().chain(super::files::all()).collect()
}

fn of_bytes() -> Vec<Target> {
    vec![
        target("record", Record::parse, |record, _| Some(record.encode())).sealed(|bytes| seal_whole(bytes)),
        target("operations", operations, |operations, _| Some(put_all(operations, Operation::put))),
        target("version", Version::parse, |version, _| Some(version.encode().expect("within the limits"))),
        target("use", Use::parse, |used, _| Some(used.encode().expect("within the limits")))
            .sealed(|bytes| seal_whole(bytes)),
        target("manifest-node", |bytes| Node::parse(TreeKind::Manifest, bytes), |node, _| Some(encode_node(1, node))),
        target("state-node", |bytes| Node::parse(TreeKind::State, bytes), |node, _| Some(encode_node(7, node))),
        target("entry", Entry::decode, |entry, _| Some(entry.encode())),
        target("recipe-root", RecipeRoot::parse, |root, _| Some(root.encode())).sealed(|bytes| seal_check(bytes)),
        target("recipe-page", RecipePage::parse_alone, |page, _| Some(page.encode())),
        target("attrs", attrs, |attrs, _| Some(attrs.encode())),
        target("attrs-out-of-line", parse_out_of_line, |attrs, _| Some(encode_out_of_line(attrs))),
        target("place", place, |place, _| Some(put_all(std::slice::from_ref(place), Place::put))),
        target("hint", read_hint, |read, _| check_hint(read)),
        target(
            "pack-data",
            |bytes| parse_pack(ObjectKind::Pack, bytes),
            |footer, bytes| rebuild(ObjectKind::Pack, footer, bytes),
        )
        .sealed(|bytes| seal_pack(ObjectKind::Pack, bytes)),
        target(
            "pack-meta",
            |bytes| parse_pack(ObjectKind::MetaPack, bytes),
            |footer, bytes| rebuild(ObjectKind::MetaPack, footer, bytes),
        )
        .sealed(|bytes| seal_pack(ObjectKind::MetaPack, bytes)),
        target(
            "pack-state",
            |bytes| parse_pack(ObjectKind::State, bytes),
            |footer, bytes| rebuild(ObjectKind::State, footer, bytes),
        )
        .sealed(|bytes| seal_pack(ObjectKind::State, bytes)),
        target("pack-tail", pack_tail, |_, _| None).sealed(|bytes| seal_pack(ObjectKind::MetaPack, bytes)),
        target("index", |bytes| Index::parse(bytes.to_vec()), |index, _| check_index(index))
            .sealed(|bytes| seal_index(bytes)),
        target(
            "store-file",
            |bytes| StoreFile::parse(bytes, "s"),
            |file, _| {
                let again = StoreFile::parse(&file.encode(), "s").expect("own bytes");
                assert_eq!(again, *file);
                None
            },
        )
        .sealed(seal_store_file),
        target("state-row", state_row, |row, _| Some(put_state_row(row))),
        target("address", address, |_, _| None),
        target(
            "ref",
            |bytes| RefExpr::parse(text(bytes)?),
            |reference, _| {
                let again = RefExpr::parse(&reference.to_string()).expect("own text");
                assert_eq!(again, *reference);
                None
            },
        ),
        // A glob in it is compiled by the crate for that.
        Target {
            is_bounded: false,
            ..target(
                "condition",
                |bytes| Filter::parse(text(bytes)?),
                |filter, _| {
                    let again = Filter::parse(&filter.to_string()).expect("own text");
                    assert_eq!(again, *filter);
                    None
                },
            )
        },
        Target {
            is_bounded: false,
            ..target(
                "file-condition",
                |bytes| FileFilter::parse(text(bytes)?),
                |filter, _| {
                    let again = FileFilter::parse(&filter.to_string()).expect("own text");
                    assert_eq!(again, *filter);
                    None
                },
            )
        },
        target("chunk", chunk, |(raw, len), _| {
            assert_eq!(raw.len(), *len);
            None
        }),
        Target {
            is_bounded: false,
            ..target(
                "lock-file",
                |bytes| LockFile::parse(text(bytes)?),
                |file, _| {
                    let again = LockFile::parse(&file.encode().expect("texts")).expect("own text");
                    assert_eq!(again, *file);
                    None
                },
            )
        },
        Target { is_bounded: false, ..target("ignore-file", ignore_file, |_, _| None) },
        Target { is_bounded: false, ..target("patterns", patterns, |_, _| None) },
        target(
            "path",
            |bytes| RepoPath::new(text(bytes)?),
            |path, _| {
                assert!(path.as_str().split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0')));
                Some(path.as_str().as_bytes().to_vec())
            },
        ),
        target(
            "part",
            |bytes| Part::parse(text(bytes)?),
            |part, _| {
                assert_eq!(Part::parse(&format!("{}={}", part.from(), part.to())).expect("own text"), *part);
                None
            },
        ),
        target("share", |bytes| Share::parse(text(bytes)?), |_, _| None),
        target("grouping", |bytes| Grouping::parse(text(bytes)?), |_, _| None),
        target("until", |bytes| Until::parse(text(bytes)?), |_, _| None),
        target("hold-by", |bytes| HoldBy::parse(text(bytes)?), |_, _| None),
        target(
            "time",
            |bytes| Time::parse(text(bytes)?),
            |time, _| {
                assert_eq!(Time::parse(&time.to_string()).expect("own text"), *time);
                None
            },
        ),
        target("object-name", |bytes| ObjectName::parse(text(bytes)?), |name, _| Some(name.to_string().into_bytes())),
    ]
}

/// A pattern a line; what they select of some paths.
fn patterns(bytes: &[u8]) -> Result<()> {
    // As with ignore files, long ones are the crate's matter.
    let lines: Vec<String> = text(&bytes[..bytes.len().min(512)])?.lines().map(str::to_owned).collect();
    let selection = Selection::new(&lines)?;
    let found = ["a", "a/b.txt", "ä/ö", "build/x/y.o", " ", "a\\b"].map(|path| selection.matches(path));
    assert!(found.contains(&true) || selection.unmatched().len() == lines.len());
    Ok(())
}

fn put_all<T>(values: &[T], put: fn(&T, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().for_each(|value| put(value, &mut out));
    out
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| dagset::base::Error::usage("not UTF-8"))
}

fn operations(bytes: &[u8]) -> Result<Vec<Operation>> {
    let mut reader = Reader::new("operations", bytes);
    let mut operations = Vec::new();
    while reader.left() > 0 {
        operations.push(Operation::read(&mut reader)?);
    }
    Ok(operations)
}

fn attrs(bytes: &[u8]) -> Result<Attrs> {
    let mut reader = Reader::new("attributes", bytes);
    let attrs = Attrs::read(&mut reader)?;
    reader.end().map(|()| attrs)
}

fn place(bytes: &[u8]) -> Result<Place> {
    let mut reader = Reader::new("a place", bytes);
    let place = Place::read(&mut reader)?;
    reader.end().map(|()| place)
}

/// A node as docs/format.md §7 has it, written by the accessors alone.
fn encode_node(tag: u8, node: &Node) -> Vec<u8> {
    let mut out = vec![tag, node.level()];
    out.put_count(node.len());
    let mut before: &[u8] = &[];
    for index in 0..node.len() {
        let key = node.key(index);
        let shared = before.iter().zip(key).take_while(|(a, b)| a == b).count();
        out.put_count(shared);
        out.put_bytes(&key[shared..]);
        before = key;
        if node.level() == 0 {
            out.put_bytes(node.value(index));
            continue;
        }
        let child = node.child(index);
        out.put_id(&child.id);
        [child.weight.entries, child.weight.files, child.weight.bytes]
            .iter()
            .for_each(|number| out.put_varint(*number));
    }
    assert!((0..node.len()).all(|index| node.lower_bound(node.key(index)) == index));
    out
}

/// The shapes of a page's children, and what its hint says of them.
type ReadHint = (Vec<ChildShape>, Vec<Option<Place>>);

/// A count, a byte for each child (0: a meta object, else a chunk of so many times 100 bytes), the hint.
fn read_hint(bytes: &[u8]) -> Result<ReadHint> {
    let mut reader = Reader::new("a hint with its shapes", bytes);
    let count = reader.u8()?;
    let shapes = reader.slice(count.into())?.iter().map(|byte| match byte {
        0 => ChildShape::Meta,
        hundreds => ChildShape::Chunk { len: u32::from(*hundreds) * 100 },
    });
    let shapes: Vec<_> = shapes.collect();
    let places = hint::decode(reader.slice(reader.left())?, &shapes)?;
    Ok((shapes, places))
}

fn check_hint((shapes, places): &ReadHint) -> Option<Vec<u8>> {
    assert_eq!(shapes.len(), places.len());
    let children: Vec<_> = shapes.iter().copied().zip(places.iter().copied()).collect();
    assert_eq!(hint::decode(&hint::encode(&children), shapes).expect("own bytes"), *places);
    None
}

/// The pack that the footer describes, with the frames of `bytes`; none where a frame isn't what was checked.
fn rebuild(kind: ObjectKind, footer: &Footer, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut builder = PackBuilder::new(kind);
    for (frame, items) in footer.items_by_frame() {
        let stored = &bytes[frame.offset as usize..][..frame.stored_bytes as usize];
        if frame.check.is_some_and(|check| !frame_is_intact(stored, check)) {
            return None;
        }
        let item = |item: &dagset::format::pack::PackItem| NewItem {
            id: item.id,
            kind: item.kind,
            len: item.len,
            hint_len: item.hint_len,
        };
        let items: Vec<_> = items.iter().map(item).collect();
        builder.add_frame(stored, frame.raw_bytes, frame.encoding, &items).expect("what was read can be written");
    }
    Some(builder.finish().bytes)
}

/// The end of a pack that is longer by as many bytes as its first byte says.
fn pack_tail(bytes: &[u8]) -> Result<Option<TailParse>> {
    let Some((more, tail)) = bytes.split_first() else { return Ok(None) };
    parse_footer(ObjectKind::MetaPack, tail.len() as u64 + u64::from(*more), tail).map(Some)
}

fn check_index(index: &Index) -> Option<Vec<u8>> {
    for (id, place) in index.chunks() {
        assert!(place.is_possible() && index.find_chunk(&id).is_some());
        assert!(index.places_of_chunk(&id).any(|found| found == place));
    }
    for (id, kind, place) in index.metas() {
        assert!(place.is_possible() && index.find_meta(&id, kind).is_some());
    }
    assert_eq!(index.packs().count(), index.pack_count());
    None
}

/// A byte that says how long the key is, the key, the value.
fn state_row(bytes: &[u8]) -> Result<StateRow> {
    let mut reader = Reader::new("a row with its key's length", bytes);
    let len = reader.u8()?;
    let key = reader.slice(len.into())?;
    StateRow::parse(key, reader.slice(reader.left())?)
}

fn put_state_row(row: &StateRow) -> Vec<u8> {
    let key = row.key();
    let len = u8::try_from(key.len()).expect("as it was read");
    [&[len][..], &key, &row.value()].concat()
}

fn address(bytes: &[u8]) -> Result<()> {
    let home = std::path::Path::new("/home/ann");
    let shown: Vec<_> = [Address::parse(text(bytes)?, Some(home)), Address::parse_in_workspace(text(bytes)?, None)]
        .into_iter()
        .flatten()
        .map(|address| address.to_string())
        .collect();
    drop(shown);
    Ok(())
}

/// How long the raw bytes are (u16), how long the base is (u8), the base, the stored frame.
fn chunk(bytes: &[u8]) -> Result<(Vec<u8>, usize)> {
    let mut reader = Reader::new("a frame with its lengths", bytes);
    let (raw_bytes, base) = (usize::from(reader.u16()?), reader.u8()?);
    let base = reader.slice(base.into())?;
    let stored = reader.slice(reader.left())?;
    let raw = decompress(stored, raw_bytes, Some(base).filter(|base| !base.is_empty()))?;
    Ok((raw, raw_bytes))
}

fn ignore_file(bytes: &[u8]) -> Result<()> {
    // What regular expressions cost is their crate's matter; long rules are not this test's.
    let rules = Rules::default().within("", text(&bytes[..bytes.len().min(512)])?)?;
    for path in ["a", "a/b.txt", "ä/ö", "build/x/y.o", " ", "a\\b"] {
        rules.leave_out(path, false);
        rules.leave_out(path, true);
    }
    Ok(())
}

/// Ends with the BLAKE3 of all before.
fn seal_whole(bytes: &mut [u8]) {
    if let Some(end) = bytes.len().checked_sub(32) {
        let hash = Id::of(&bytes[..end]);
        bytes[end..].copy_from_slice(&hash.0);
    }
}

/// Ends with the check of all before.
fn seal_check(bytes: &mut [u8]) {
    if let Some(end) = bytes.len().checked_sub(8) {
        let check = check_of(&bytes[..end]);
        bytes[end..].copy_from_slice(&check);
    }
}

const TRAILER: usize = 48;

/// Where the footer begins, by the trailer.
fn footer_at(bytes: &[u8]) -> Option<(usize, usize)> {
    let trailer = bytes.len().checked_sub(TRAILER)?;
    let len = u32::from_le_bytes(bytes[trailer..trailer + 4].try_into().expect("4 bytes"));
    Some((trailer.checked_sub(len as usize)?, trailer))
}

fn seal_pack(kind: ObjectKind, bytes: &mut [u8]) {
    if let Some((footer, trailer)) = footer_at(bytes) {
        let hash = Id::of(&[&dagset::format::header::header(kind)[..], &bytes[footer..trailer]].concat());
        bytes[trailer + 8..trailer + 40].copy_from_slice(&hash.0);
    }
}

/// Bytes of an index's footer before its checks.
const INDEX_FOOTER: usize = 84;

fn seal_index(bytes: &mut [u8]) {
    let Some((footer, trailer)) = footer_at(bytes) else { return };
    let checks: Vec<u8> = bytes[..footer].chunks(65_536).flat_map(check_of).collect();
    let at = footer + INDEX_FOOTER;
    if at + checks.len() == trailer {
        bytes[at..trailer].copy_from_slice(&checks);
    }
    let hash = Id::of(&bytes[footer..trailer]);
    bytes[trailer + 8..trailer + 40].copy_from_slice(&hash.0);
}

fn seal_store_file(bytes: &mut Vec<u8>) {
    const KEY: &[u8] = b",\"check\":\"";
    let Some(at) = bytes.windows(KEY.len()).rposition(|window| window == KEY) else { return };
    let check: String = check_of(&bytes[..at]).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.truncate(at + KEY.len());
    bytes.extend_from_slice(format!("{check}\"}}\n").as_bytes());
}
