//! A word to be typed before something goes.

use std::io::{BufRead, IsTerminal, stdin};

use dagset::base::{Error, Kind, Result};

use super::output::stderr_line;

/// Has the user type `word`. `doing` is what is about to be done, `question` what is said before.
pub fn confirm(doing: &str, question: &str, word: &str) -> Result<()> {
    if !stdin().is_terminal() {
        return Err(Error::usage(format!("{doing} needs a yes, and nobody is at a terminal"))
            .hint("add --yes; --dry-run shows what would go"));
    }
    stderr_line(question);
    let mut typed = String::new();
    let read = stdin().lock().read_line(&mut typed);
    read.map_err(|fault| Error::new(Kind::Failed, "cannot read the answer").because(fault))?;
    match typed.trim() == word {
        true => Ok(()),
        false => Err(Error::conflict(format!("that isn't {word}, so nothing was done"))),
    }
}
