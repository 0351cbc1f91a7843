//! Speed of the parts that every byte passes: cutting, hashing, compressing; on noise and on CSV-like text.
//!
//! Cutting by content should stay above 2.4 GB/s on one core.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dagset::chunk::{compress, compress_against, decompress, pieces};

const BYTES: usize = 64 << 20;

fn noise() -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    blake3::Hasher::new().update(b"parts").finalize_xof().fill(&mut bytes);
    bytes
}

fn csv() -> Vec<u8> {
    let mut words = noise().into_iter().map(u32::from);
    let mut text = String::with_capacity(BYTES + 100);
    for row in 0u32.. {
        if text.len() >= BYTES {
            break;
        }
        let mut next = || words.next().unwrap_or_default();
        let (a, b, c) = (next(), next(), next());
        text += &format!("{row},2026-01-{:02},sensor-{},{}.{:03},{}\n", a % 28 + 1, b % 40, c, a * b % 1000, c % 3);
    }
    text.into_bytes()
}

fn parts(criterion: &mut Criterion) {
    for (name, data) in [("noise", noise()), ("csv", csv())] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(data.len() as u64)).sample_size(10);
        group.bench_function("cut", |b| b.iter(|| pieces(black_box(&data)).count()));
        let chunks: Vec<&[u8]> = pieces(&data).collect();
        group.bench_function("hash", |b| {
            b.iter(|| chunks.iter().map(|chunk| blake3::hash(chunk).as_bytes()[0]).fold(0, |a, b| a ^ b))
        });

        let few = &chunks[..chunks.len() / 8];
        let bytes: usize = few.iter().map(|chunk| chunk.len()).sum();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function("compress", |b| {
            b.iter(|| few.iter().filter_map(|chunk| compress(black_box(chunk))).count())
        });
        let edited: Vec<Vec<u8>> = few.iter().map(|chunk| edit(chunk)).collect();
        let against = || few.iter().zip(&edited).filter_map(|(base, raw)| compress_against(raw, base));
        group.bench_function("compress_against", |b| b.iter(|| against().count()));
        let frames: Vec<(Vec<u8>, usize)> =
            few.iter().filter_map(|chunk| Some((compress(chunk)?, chunk.len()))).collect();
        if !frames.is_empty() {
            group.bench_function("decompress", |b| {
                b.iter(|| frames.iter().filter_map(|(frame, len)| decompress(frame, *len, None).ok()).count())
            });
        }
        group.finish();
    }
}

/// A chunk with a few bytes changed in three places.
fn edit(chunk: &[u8]) -> Vec<u8> {
    let mut edited = chunk.to_vec();
    for part in [5, 3, 2] {
        let at = chunk.len() / part;
        edited.splice(at..at + 4, *b"edited");
    }
    edited
}

criterion_group!(benches, parts);
criterion_main!(benches);
