use proptest::prelude::*;

use super::*;

fn place() -> Place {
    let frame = FramePlace {
        pack: ObjectName { born: 3, random: [7; 16] },
        offset: 16,
        stored_bytes: 100,
        raw_bytes: 300,
        encoding: Encoding::Zstd,
    };
    Place { frame, at: 40, len: 200, hint_len: 60 }
}

/// Whether `place` is possible, which its reader must say as well.
fn holds(place: Place) -> bool {
    let mut bytes = Vec::new();
    place.put(&mut bytes);
    let mut reader = Reader::new("test", &bytes);
    let read = Place::read(&mut reader);
    assert_eq!(read.is_ok(), place.is_possible());
    assert!(read.is_err() || read.is_ok_and(|read| read == place) && reader.end().is_ok());
    place.is_possible()
}

#[test]
fn each_limit_holds() {
    let in_frame = |change: fn(&mut FramePlace)| {
        let mut place = place();
        change(&mut place.frame);
        holds(place)
    };
    assert!(holds(place()));
    assert!(in_frame(|frame| frame.encoding = Encoding::Based(Id::MAX)));
    assert!(!in_frame(|frame| frame.encoding = Encoding::Raw), "raw bytes are as long as they are stored");
    assert!(!in_frame(|frame| frame.offset = 15), "the header stands there");
    assert!(in_frame(|frame| frame.offset = u32::MAX - 100));
    assert!(!in_frame(|frame| frame.offset = u32::MAX - 99), "a pack has less than 4 GiB");
    assert!(in_frame(|frame| (frame.stored_bytes, frame.raw_bytes) = (MAX_FRAME_RAW, MAX_FRAME_RAW)));
    assert!(!in_frame(|frame| frame.stored_bytes = MAX_FRAME_RAW + 1));
    assert!(!in_frame(|frame| frame.raw_bytes = MAX_FRAME_RAW + 1));
    assert!(!in_frame(|frame| frame.stored_bytes = 0));
    assert!(!in_frame(|frame| frame.raw_bytes = 299), "the item ends behind the frame");
}

#[test]
fn an_item_lies_in_its_frame() {
    assert!(!holds(Place { len: 0, ..place() }));
    assert!(!holds(Place { at: u32::MAX, ..place() }));
    assert!(!holds(Place { hint_len: u32::MAX, ..place() }));
    let frame = FramePlace { raw_bytes: MAX_FRAME_RAW, ..place().frame };
    assert!(holds(Place { frame, at: 0, len: MAX_ITEM - 1, hint_len: 1 }));
    assert!(!holds(Place { frame, at: 0, len: MAX_ITEM, hint_len: 1 }), "an item with its hint has at most 1 MiB");
}

#[test]
fn a_born_number_has_12_digits() {
    let read = |born| {
        let mut bytes = Vec::new();
        put_object_name(&mut bytes, &ObjectName { born, random: [0; 16] });
        read_object_name(&mut Reader::new("test", &bytes)).is_ok()
    };
    assert!(read(MAX_BORN) && !read(MAX_BORN + 1));
}

proptest! {
    #[test]
    fn what_parses_is_canonical(noise in proptest::collection::vec(0u8..40, 60), encoding in 0u8..4) {
        let bytes = [&[1; 17][..], &[30, 20, 20 + (noise[0] % 2), encoding], &noise].concat();
        let mut reader = Reader::new("test", &bytes);
        if let Ok(place) = Place::read(&mut reader) {
            let mut again = Vec::new();
            place.put(&mut again);
            prop_assert_eq!(&again[..], reader.taken());
        }
    }
}
