//! Counts and lists as messages have them.

use std::fmt::{Display, Write};

/// Of a list so many are shown.
const SHOWN: usize = 20;

/// `1 path has`, `3 paths have`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// The first of them, a line each, and how many more there are; to stand behind a colon.
pub fn first_of(items: &[impl Display]) -> String {
    let mut text = String::new();
    for item in items.iter().take(SHOWN) {
        write!(text, "\n  {item}").ok();
    }
    if items.len() > SHOWN {
        write!(text, "\n  … and {} more", items.len() - SHOWN).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_end_with_a_count() {
        assert_eq!(counted(1, "path has", "paths have") + ":" + &first_of(&["a"]), "1 path has:\n  a");
        let many: Vec<usize> = (0..22).collect();
        assert!(first_of(&many).ends_with("\n  19\n  … and 2 more"));
        assert_eq!(counted(0, "path has", "paths have"), "0 paths have");
    }
}
