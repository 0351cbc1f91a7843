//! Mutations of an input, the same ones for the same seed.

/// xorshift64*: small, fast, and the same on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which isn't 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Inputs grow no longer by mutation.
const LONGEST: usize = 256 << 10;

/// What lengths, counts and tags break on.
const NUMBERS: [u64; 16] =
    [0, 1, 2, 3, 7, 16, 32, 127, 128, 255, 256, 65_535, 65_536, (1 << 20) + 1, u32::MAX as u64, u64::MAX];

/// Changes `input` in one to six places; `other` is another input of the same target.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..1 + random.below(3) * random.below(3) {
        once(input, other, random);
        input.truncate(LONGEST);
    }
}

fn once(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let longest = if random.one_in(4) { input.len().max(1) } else { 8 };
    let span = 1 + random.below(longest);
    let end = (at + span).min(input.len());
    match random.below(10) {
        0..3 => flip(input, at, random),
        3 => drop(input.drain(at..end)),
        4 => input.truncate(at),
        5 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
        6 => {
            let noise: Vec<u8> = (0..span.min(64)).map(|_| random.next() as u8).collect();
            input.splice(at..at, noise);
        }
        7 if !other.is_empty() => {
            let from = random.below(other.len());
            let to = from + 1 + random.below(other.len() - from);
            input.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            let number = NUMBERS[random.below(NUMBERS.len())];
            let bytes =
                if random.one_in(2) { varint(number) } else { number.to_le_bytes()[..1 << random.below(4)].to_vec() };
            let end = if random.one_in(4) { at } else { (at + bytes.len()).min(input.len()) };
            input.splice(at..end, bytes);
        }
    }
}

fn flip(input: &mut [u8], at: usize, random: &mut Random) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= if random.one_in(3) { random.next() as u8 } else { 1 << random.below(8) };
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
