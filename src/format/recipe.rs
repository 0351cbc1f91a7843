//! Recipes: the chunks of a file that has many (docs/format.md §6).

use crate::base::{Id, Result};

use super::codec::{Put, Reader, check_of};
use super::place::MAX_ITEM;

const ROOT_TAG: u8 = 2;
const PAGE_TAG: u8 = 3;
const MAX_LEVEL: u8 = 8;
/// A root keeps up to so many children itself.
const ROOT_CHILDREN: usize = 128;
const MAX_CHILDREN: usize = 1_024;

/// A chunk or a page, and the bytes of the file that it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecipeChild {
    pub id: Id,
    pub bytes: u64,
}

/// The top of a file's recipe; found by the file's content id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeRoot {
    pub content: Id,
    pub size: u64,
    /// 0: the children are chunks; n: pages of level n − 1.
    pub level: u8,
    pub children: Vec<RecipeChild>,
}

/// A piece of a long recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipePage {
    /// 0: the children are chunks; n: pages of level n − 1.
    pub level: u8,
    pub children: Vec<RecipeChild>,
}

impl RecipeRoot {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![ROOT_TAG];
        out.put_id(&self.content);
        out.put_varint(self.size);
        put_children(&mut out, self.level, &self.children);
        let check = check_of(&out);
        out.put_slice(&check);
        out
    }

    pub fn parse(bytes: &[u8]) -> Result<RecipeRoot> {
        let mut reader = Reader::new("a recipe", bytes);
        if reader.u8()? != ROOT_TAG {
            return Err(reader.fault("it has the wrong tag"));
        }
        let (content, size) = (reader.id()?, reader.varint()?);
        let (level, children) = read_children(&mut reader)?;
        let covered = reader.taken();
        if reader.array::<8>()? != check_of(covered) {
            return Err(reader.fault("its check doesn't hold"));
        }
        reader.end()?;
        if sum(&children) != Some(size) {
            return Err(reader.fault("its children don't sum to its size"));
        }
        Ok(RecipeRoot { content, size, level, children })
    }
}

impl RecipePage {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![PAGE_TAG];
        put_children(&mut out, self.level, &self.children);
        out
    }

    /// Parses a page that its parent says to be of `level` and to cover `bytes_below` bytes.
    pub fn parse(bytes: &[u8], level: u8, bytes_below: u64) -> Result<RecipePage> {
        let page = RecipePage::parse_alone(bytes)?;
        let reader = Reader::new("a recipe page", bytes);
        match page.level == level && sum(&page.children) == Some(bytes_below) {
            true => Ok(page),
            false => Err(reader.fault("it isn't what its parent says")),
        }
    }

    /// Parses a page of which nothing else is known.
    pub fn parse_alone(bytes: &[u8]) -> Result<RecipePage> {
        let mut reader = Reader::new("a recipe page", bytes);
        if reader.u8()? != PAGE_TAG {
            return Err(reader.fault("it has the wrong tag"));
        }
        let (level, children) = read_children(&mut reader)?;
        reader.end()?;
        match sum(&children) {
            Some(_) => Ok(RecipePage { level, children }),
            None => Err(reader.fault("its children exceed 64 bits")),
        }
    }
}

fn put_children(out: &mut Vec<u8>, level: u8, children: &[RecipeChild]) {
    out.put_u8(level);
    out.put_count(children.len());
    for child in children {
        out.put_id(&child.id);
        out.put_varint(child.bytes);
    }
}

fn read_children(reader: &mut Reader<'_>) -> Result<(u8, Vec<RecipeChild>)> {
    let level = reader.u8()?;
    let count = reader.count(33)?;
    if level > MAX_LEVEL || !(1..=MAX_CHILDREN).contains(&count) {
        return Err(reader.fault("its level or number of children can't be"));
    }
    let mut children = Vec::with_capacity(count);
    for _ in 0..count {
        let child = RecipeChild { id: reader.id()?, bytes: reader.varint()? };
        if child.bytes == 0 || level == 0 && child.bytes > MAX_ITEM.into() {
            return Err(reader.fault("a child's length can't be"));
        }
        children.push(child);
    }
    Ok((level, children))
}

fn sum(children: &[RecipeChild]) -> Option<u64> {
    children.iter().try_fold(0u64, |sum, child| sum.checked_add(child.bytes))
}

/// Groups `chunks` into pages, which `page` receives children before parents with their ids, and gives the root.
pub fn build(
    content: Id,
    chunks: Vec<RecipeChild>,
    mut page: impl FnMut(Id, &RecipePage, Vec<u8>) -> Result<()>,
) -> Result<RecipeRoot> {
    let size = chunks.iter().map(|chunk| chunk.bytes).sum();
    let (mut level, mut children) = (0, chunks);
    while children.len() > ROOT_CHILDREN {
        let mut parents = Vec::new();
        let mut rest = &children[..];
        while !rest.is_empty() {
            let (group, behind) = rest.split_at(group_len(rest, level));
            let new = RecipePage { level, children: group.to_vec() };
            let bytes = new.encode();
            let id = Id::of(&bytes);
            page(id, &new, bytes)?;
            parents.push(RecipeChild { id, bytes: group.iter().map(|child| child.bytes).sum() });
            rest = behind;
        }
        (level, children) = (level + 1, parents);
    }
    Ok(RecipeRoot { content, size, level, children })
}

fn group_len(children: &[RecipeChild], level: u8) -> usize {
    let ends = |child: &RecipeChild| child.id.word().rotate_right(6 * u32::from(level)).is_multiple_of(64);
    let end = children.iter().skip(1).position(ends).map_or(children.len(), |at| at + 2);
    end.min(MAX_CHILDREN)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn chunk(n: u64) -> RecipeChild {
        RecipeChild { id: Id::of(&n.to_le_bytes()), bytes: 60_000 + n % 9_000 }
    }

    fn pages(chunks: &[RecipeChild]) -> (RecipeRoot, HashMap<Id, Vec<u8>>) {
        let mut stored = HashMap::new();
        let root = build(Id::of(b"file"), chunks.to_vec(), |id, _, bytes| {
            stored.insert(id, bytes);
            Ok(())
        });
        (root.expect("no sink fails"), stored)
    }

    fn flatten(stored: &HashMap<Id, Vec<u8>>, level: u8, children: &[RecipeChild], into: &mut Vec<RecipeChild>) {
        for child in children {
            if level == 0 {
                into.push(*child);
            } else {
                let page = RecipePage::parse(&stored[&child.id], level - 1, child.bytes).expect("own page");
                flatten(stored, level - 1, &page.children, into);
            }
        }
    }

    #[test]
    fn the_chunks_come_back_in_order() {
        for count in [1, 2, 128, 129, 5_000, 40_000] {
            let chunks: Vec<_> = (0..count).map(chunk).collect();
            let (root, stored) = pages(&chunks);
            assert_eq!(RecipeRoot::parse(&root.encode()).expect("own root"), root);
            let mut back = Vec::new();
            flatten(&stored, root.level, &root.children, &mut back);
            assert_eq!(back, chunks);
        }
    }

    #[test]
    fn an_edit_makes_few_new_pages() {
        let mut chunks: Vec<_> = (0..40_000).map(chunk).collect();
        let (_, before) = pages(&chunks);
        chunks[20_000] = chunk(1_000_000);
        let (root, after) = pages(&chunks);
        let new = after.keys().filter(|id| !before.contains_key(id)).count();
        assert!(new <= usize::from(root.level) * 2 + 1, "{new} new pages");
    }

    #[test]
    fn every_flipped_bit_of_a_root_is_noticed() {
        let bytes = pages(&[chunk(1), chunk(2)]).0.encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(RecipeRoot::parse(&flipped).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_pages_are_refused_or_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let bytes: Vec<u8> = [PAGE_TAG, 0, 1].into_iter().chain(bytes).collect();
            if let Ok(page) = RecipePage::parse_alone(&bytes) {
                prop_assert_eq!(page.encode(), bytes);
            }
        }
    }
}
