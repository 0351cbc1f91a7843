//! What stood at a place of a file in the version before: the file's chunks now are aligned with those then.
//!
//! ```text
//! then   … A  B │ C  D    │ E …      A run of chunks that weren't there lies between two that were: what stood between those
//! now    … A  B │ x  y  z │ E …      stood at its place, counted from the left (x ~ C) and from the right (z ~ D).
//! ```
//! A chunk that stood there several times says nothing of the place, but where it is the one expected. Of a long file only some of the
//! chunks then are held, ahead of the place and behind it: an edit that moves the content further than that is aligned no more.

use std::collections::{HashMap, VecDeque};

use crate::base::{Id, Result};
use crate::format::recipe::RecipeChild;

/// Chunks that are held: 4 GiB of a file, in 8 MB of memory.
const HELD: usize = 1 << 16;

/// A file's chunks then, one after the other.
pub type Then<'a> = Box<dyn Iterator<Item = Result<RecipeChild>> + Send + Sync + 'a>;

/// The chunk that covers most of a piece's place, counted from the left and, where that is another, from the right.
pub type Stood = [Option<Id>; 2];

/// A file as it was, and how far the file as it is was compared with it.
pub struct Former<'a> {
    rest: Then<'a>,
    held: VecDeque<Chunk>,
    /// The number of the first chunk that is held.
    first: usize,
    most: usize,
    /// The last number of each chunk that is held, and how many times it is.
    numbers: HashMap<Id, (usize, usize)>,
    /// The number of the chunk behind the last one that is in both.
    next: usize,
    /// Bytes now behind that one.
    since: u64,
}

#[derive(Clone, Copy)]
struct Chunk {
    id: Id,
    start: u64,
    end: u64,
}

impl<'a> Former<'a> {
    /// The file that had the chunks `then`.
    pub fn new(then: Then<'a>) -> Result<Former<'a>> {
        Former::holding(HELD, then)
    }

    fn holding(most: usize, then: Then<'a>) -> Result<Former<'a>> {
        let mut former =
            Former { rest: then, held: VecDeque::new(), first: 0, most, numbers: HashMap::new(), next: 0, since: 0 };
        former.read_ahead()?;
        Ok(former)
    }

    /// What stood where the next `pieces` of the file now stand, for each that wasn't there then.
    pub fn stood_at(&mut self, pieces: &[RecipeChild]) -> Result<Vec<Stood>> {
        let mut stood = vec![[None, None]; pieces.len()];
        let mut run = 0;
        for (number, piece) in pieces.iter().enumerate() {
            let Some(found) = self.number_of(&piece.id) else { continue };
            self.between(&pieces[run..number], Some(found), &mut stood[run..number]);
            (self.next, self.since, run) = (found + 1, 0, number + 1);
            if self.next - self.first >= self.most / 4 * 3 {
                self.leave_behind();
                self.read_ahead()?;
            }
        }
        self.between(&pieces[run..], None, &mut stood[run..]);
        self.since += pieces[run..].iter().map(|piece| piece.bytes).sum::<u64>();
        Ok(stood)
    }

    /// Of a run of pieces behind the last chunk that is in both; `until` is the one that follows the run, where that is known.
    fn between(&self, run: &[RecipeChild], until: Option<usize>, stood: &mut [Stood]) {
        let Some(from) = self.chunk(self.next).map(|chunk| chunk.start) else { return };
        let until = until.filter(|until| *until >= self.next).and_then(|until| self.chunk(until));
        let until = until.map(|chunk| chunk.start);
        let mut left = from.saturating_add(self.since);
        let run_bytes: u64 = run.iter().map(|piece| piece.bytes).sum();
        let mut to_end = run_bytes;
        for (piece, stood) in run.iter().zip(stood) {
            let most = until.unwrap_or(u64::MAX);
            let right = left.saturating_add(piece.bytes);
            stood[0] = self.most_of(left.min(most), right.min(most));
            if let Some(until) = until {
                let at = |to_end: u64| until.saturating_sub(to_end).max(from);
                stood[1] = self.most_of(at(to_end), at(to_end - piece.bytes)).filter(|id| Some(*id) != stood[0]);
            }
            left = right;
            to_end -= piece.bytes;
        }
    }

    /// The chunk then that covers most of these bytes.
    fn most_of(&self, start: u64, end: u64) -> Option<Id> {
        let first = self.held.partition_point(|chunk| chunk.end <= start);
        let covering = self.held.range(first..).take_while(|chunk| chunk.start < end);
        let covered = |chunk: &&Chunk| chunk.end.min(end) - chunk.start.max(start);
        covering.max_by_key(covered).map(|chunk| chunk.id)
    }

    fn chunk(&self, number: usize) -> Option<&Chunk> {
        self.held.get(number.checked_sub(self.first)?)
    }

    fn number_of(&self, id: &Id) -> Option<usize> {
        if self.chunk(self.next).is_some_and(|chunk| chunk.id == *id) {
            return Some(self.next);
        }
        self.numbers.get(id).filter(|(_, times)| *times == 1).map(|(number, _)| *number)
    }

    fn leave_behind(&mut self) {
        while self.next - self.first > self.most / 4
            && let Some(chunk) = self.held.pop_front()
        {
            self.first += 1;
            if let Some((_, times)) = self.numbers.get_mut(&chunk.id) {
                *times -= 1;
                if *times == 0 {
                    self.numbers.remove(&chunk.id);
                }
            }
        }
    }

    fn read_ahead(&mut self) -> Result<()> {
        while self.held.len() < self.most
            && let Some(child) = self.rest.next().transpose()?
        {
            let start = self.held.back().map_or(0, |chunk| chunk.end);
            let number = self.first + self.held.len();
            let (last, times) = self.numbers.entry(child.id).or_insert((number, 0));
            (*last, *times) = (number, *times + 1);
            self.held.push_back(Chunk { id: child.id, start, end: start.saturating_add(child.bytes) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A chunk for each letter, of 1,000 bytes; upper case: of half of that.
    fn chunks(text: &str) -> Vec<RecipeChild> {
        let bytes = |letter: u8| if letter.is_ascii_uppercase() { 500 } else { 1_000 };
        text.bytes().map(|letter| RecipeChild { id: Id::of(&[letter]), bytes: bytes(letter) }).collect()
    }

    fn former(most: usize, then: &str) -> Former<'static> {
        Former::holding(most, Box::new(chunks(then).into_iter().map(Ok))).expect("no chunk fails")
    }

    /// What stood at each piece: the letter counted from the left, then that from the right.
    fn stood(former: &mut Former<'_>, then: &str, now: &str) -> Vec<String> {
        let letter =
            |id: Id| then.chars().find(|letter| Id::of(letter.to_string().as_bytes()) == id).expect("was there");
        let stood = former.stood_at(&chunks(now)).expect("no chunk fails");
        stood.iter().map(|stood| stood.iter().flatten().map(|id| letter(*id)).collect()).collect()
    }

    fn aligned(then: &str, now: &str) -> Vec<String> {
        stood(&mut former(HELD, then), then, now)
    }

    #[test]
    fn an_edit_in_place_finds_what_stood_there() {
        assert_eq!(aligned("abcdef", "abxdef"), ["", "", "c", "", "", ""]);
        assert_eq!(aligned("abcdef", "xbcdey"), ["a", "", "", "", "", "f"]);
        assert_eq!(aligned("abcdef", "axyzef"), ["", "b", "c", "d", "", ""]);
    }

    #[test]
    fn what_was_inserted_has_its_neighbours_at_both_ends_and_nothing_between() {
        assert_eq!(aligned("abcd", "abwxyzd"), ["", "", "c", "", "", "c", ""]);
        assert_eq!(aligned("abcd", "abxcd"), ["", "", "", "", ""], "nothing stood between b and c");
        assert_eq!(aligned("abcd", "abcdxy"), ["", "", "", "", "", ""], "nor behind the end");
    }

    #[test]
    fn what_replaces_much_is_like_its_beginning_or_its_end() {
        assert_eq!(aligned("abcdef", "axf"), ["", "be", ""]);
        assert_eq!(aligned("abcdef", "aXYf"), ["", "be", "be", ""]);
    }

    #[test]
    fn a_piece_has_the_chunk_that_covers_most_of_it() {
        assert_eq!(aligned("aBcd", "axd"), ["", "c", ""]);
        assert_eq!(aligned("abcd", "aXyd"), ["", "b", "c", ""], "half of b and half of c: the later one");
    }

    #[test]
    fn chunks_that_stand_there_often_say_nothing_but_where_they_are_expected() {
        assert_eq!(aligned("azbzczd", "azxzczd"), ["", "", "b", "z", "", "", ""], "z is no end of a run");
        assert_eq!(aligned("azbzczd", "xzbzczd"), ["a", "z", "", "", "", "", ""]);
    }

    #[test]
    fn what_moved_back_is_aligned_there() {
        assert_eq!(aligned("abcdef", "defaxc"), ["", "", "", "", "b", ""]);
    }

    #[test]
    fn a_run_goes_on_behind_a_block() {
        let mut former = former(HELD, "abcdef");
        assert_eq!(stood(&mut former, "abcdef", "ax"), ["", "b"]);
        assert_eq!(stood(&mut former, "abcdef", "yzf"), ["cd", "de", ""]);
    }

    proptest! {
        #[test]
        fn of_a_long_file_some_chunks_are_enough(edits in proptest::collection::btree_set(0usize..400, 0..40)) {
            let child = |seed: usize| RecipeChild { id: Id::of(&seed.to_le_bytes()), bytes: 1_000 };
            let then: Vec<_> = (0..400).map(child).collect();
            let now: Vec<_> = (0..400).map(|n| child(if edits.contains(&n) { n + 1_000 } else { n })).collect();
            let mut former = Former::holding(100, Box::new(then.iter().copied().map(Ok))).expect("no chunk fails");
            for (number, block) in now.chunks(7).enumerate() {
                for (at, stood) in former.stood_at(block).expect("no chunk fails").iter().enumerate() {
                    let number = 7 * number + at;
                    let expected = edits.contains(&number).then(|| then[number].id);
                    prop_assert_eq!(*stood, [expected, None]);
                }
                prop_assert!(former.held.len() <= 100 && former.numbers.len() <= 100);
            }
        }
    }
}
