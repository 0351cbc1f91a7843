//! What lies at a place, whatever it is: for whoever verifies the whole that it becomes a part of.

use crate::chunk::compress::decompress_into;
use crate::format::header::ObjectKind;
use crate::format::place::{Encoding, Place};

use super::Content;

impl Content {
    /// Copies to `into` what lies at `place`, where a chunk of that length is thought to lie. Nothing is verified but that it can be decoded.
    ///
    /// `false` where nothing of that length can be had there: then [`Content::chunk`] knows where else it lies, or what is wrong.
    #[must_use = "`into` is only filled where this is true"]
    pub fn copy_unverified(&self, place: &Place, into: &mut [u8]) -> bool {
        let folder = ObjectKind::Pack;
        let (frame, len) = (&place.frame, into.len());
        if !place.is_possible() || place.len as usize != len {
            return false;
        }
        let is_alone = frame.raw_bytes as usize == len;
        match frame.encoding {
            Encoding::Zstd if is_alone => {
                self.stored(folder, frame).is_ok_and(|stored| decompress_into(&stored, into).is_ok())
            }
            encoding => {
                // Neighbours lie in a shared frame too, and what needs a base takes more than a copy.
                let is_raw = is_alone && encoding == Encoding::Raw;
                let read = if is_raw { self.stored(folder, frame) } else { self.frame(folder, frame) };
                let (Ok(bytes), start) = (read, place.at as usize) else { return false };
                let Some(found) = bytes.get(start..start + len) else { return false };
                into.copy_from_slice(found);
                true
            }
        }
    }
}
