use super::*;
use crate::format::tree::{NewNode, TreeBuilder};

fn weight(entries: u64, files: u64, bytes: u64) -> Weight {
    Weight { entries, files, bytes }
}

fn leaf(items: &[(&[u8], &[u8])]) -> Node {
    let mut writer = NodeWriter::new(0);
    for (key, value) in items {
        let mut payload = Vec::new();
        payload.put_bytes(value);
        writer.push(key, &payload);
    }
    Node::parse(TreeKind::State, &writer.encode(TreeKind::State)).expect("own bytes")
}

fn inner_bytes(level: u8, children: &[(&[u8], Weight)]) -> Vec<u8> {
    let mut writer = NodeWriter::new(level);
    for (key, weight) in children {
        let mut payload = Vec::new();
        payload.put_id(&Id::of(key));
        [weight.entries, weight.files, weight.bytes].iter().for_each(|number| payload.put_varint(*number));
        writer.push(key, &payload);
    }
    writer.encode(TreeKind::State)
}

fn inner(level: u8, children: &[(&[u8], Weight)]) -> Result<Node> {
    Node::parse(TreeKind::State, &inner_bytes(level, children))
}

#[test]
fn counts_agree_with_each_other() {
    let one = |weight| inner(1, &[(b"a", weight)]).is_ok();
    assert!(one(weight(1, 0, 0)) && one(weight(2, 1, 900)));
    assert!(!one(weight(0, 0, 0)), "an empty child");
    assert!(!one(weight(1, 2, 0)), "more files than entries");
    assert!(!one(weight(1, 0, 5)), "bytes of no file");
}

#[test]
fn every_flip_in_an_inner_node_is_refused_or_canonical() {
    let bytes = inner_bytes(1, &[(b"ab", weight(3, 1, 7)), (b"ac", weight(200, 100, 0)), (b"b", weight(1, 1, 1))]);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Ok(node) = Node::parse(TreeKind::State, &flipped) else { continue };
        let mut writer = NodeWriter::new(node.level());
        for (index, child) in node.children().iter().enumerate() {
            let mut payload = child.id.0.to_vec();
            let Weight { entries, files, bytes } = child.weight;
            [entries, files, bytes].iter().for_each(|number| payload.put_varint(*number));
            writer.push(node.key(index), &payload);
        }
        assert!(node.level() == 0 || writer.encode(TreeKind::State) == flipped, "bit {bit}");
    }
}

#[test]
fn a_child_is_what_its_parent_says() {
    let parent = inner(1, &[(b"b", weight(2, 0, 0)), (b"d", weight(1, 0, 0))]).expect("a node");
    let fits = |index, items: &[(&[u8], &[u8])]| parent.check_child(index, &leaf(items)).is_ok();
    assert!(fits(0, &[(b"a", b""), (b"b", b"")]) && fits(1, &[(b"d", b"")]));
    assert!(!fits(0, &[(b"b", b"")]), "another count");
    assert!(!fits(0, &[(b"a", b""), (b"c", b"")]), "another last key");
    assert!(!fits(1, &[]), "empty");
    let parent = inner(1, &[(b"b", weight(2, 0, 0)), (b"d", weight(2, 0, 0))]).expect("a node");
    let ascends = |first: &[u8]| parent.check_child(1, &leaf(&[(first, b""), (b"d", b"")])).is_ok();
    assert!(ascends(b"ba") && !ascends(b"b"), "a key that stands before the child");
    let lower = inner(1, &[(b"a", weight(1, 0, 0)), (b"b", weight(1, 0, 0))]).expect("a node");
    let upper = |weight| inner(2, &[(b"b", weight)]).expect("a node");
    assert!(upper(weight(2, 0, 0)).check_child(0, &lower).is_ok());
    assert!(upper(weight(3, 0, 0)).check_child(0, &lower).is_err());
    assert!(inner(3, &[(b"b", weight(2, 0, 0))]).expect("a node").check_child(0, &lower).is_err(), "a level left out");
}

#[test]
fn a_root_branches() {
    assert!(leaf(&[]).check_root().is_ok());
    assert!(inner(1, &[(b"a", weight(1, 0, 0)), (b"b", weight(1, 0, 0))]).expect("a node").check_root().is_ok());
    assert!(inner(1, &[(b"a", weight(1, 0, 0))]).expect("a node").check_root().is_err());
    assert!(inner(1, &[]).is_err() && inner(16, &[(b"a", weight(1, 0, 0))]).is_err());
}

#[test]
fn long_keys_end_a_node_and_the_writer_keeps_the_readers_limit() {
    let mut nodes: Vec<Vec<u8>> = Vec::new();
    let mut builder = TreeBuilder::new(TreeKind::State, |node: NewNode| {
        nodes.push(node.bytes);
        Ok(())
    });
    for number in 0..2_000u32 {
        let key = format!("{}{number:08}", "k".repeat(MAX_KEY - 8));
        builder.push(key.as_bytes(), b"", weight(1, 0, 0)).expect("ascending keys");
    }
    builder.finish().expect("a root");
    let most = MAX_KEYS / MAX_KEY;
    let lens: Vec<_> = nodes.iter().map(|bytes| Node::parse(TreeKind::State, bytes).expect("own node").len()).collect();
    assert!(lens.iter().all(|len| *len <= most) && lens.contains(&most), "{lens:?}");

    let mut writer = NodeWriter::new(0);
    for number in 0..=most {
        writer.push(format!("{}{number:08}", "k".repeat(MAX_KEY - 8)).as_bytes(), &[0]);
    }
    let bytes = writer.encode(TreeKind::State);
    assert!(bytes.len() < 10_000 && Node::parse(TreeKind::State, &bytes).is_err(), "one key too many");
}
