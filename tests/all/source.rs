//! Enough of a Rust reader to say which paths a source file names: comments and literals are skipped, use groups are
//! spread out, `self`, `super` and inline modules are followed. Not a compiler: paths that macros assemble are not seen.

use std::iter::Peekable;
use std::str::Chars;
use std::vec::IntoIter;

/// What stands in a source file: a word or one sign; `::` is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    Word(String),
    Sign(char),
    Colons,
}

/// A path that the file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// From the crate's root, which is written as `crate`, or from an extern crate (`std`, `tokio`).
    pub segments: Vec<String>,
    /// The line that its first word stands on.
    pub line: usize,
}

/// The words and signs of `source`, each with its line.
pub fn tokens(source: &str) -> Vec<(Token, usize)> {
    let mut reader = Reader { rest: source.chars().peekable(), line: 1 };
    let mut out = Vec::new();
    while let Some(c) = reader.next() {
        let line = reader.line;
        match c {
            '/' if reader.peek() == Some('/') => while reader.next().is_some_and(|c| c != '\n') {},
            '/' if reader.peek() == Some('*') => reader.skip_block_comment(),
            '"' => reader.skip_string(),
            '\'' => reader.skip_char_or_lifetime(),
            ':' if reader.peek() == Some(':') => {
                reader.next();
                out.push((Token::Colons, line));
            }
            c if c == '_' || c.is_alphabetic() => {
                let word = reader.word(c);
                match (word.as_str(), reader.peek()) {
                    ("r" | "br" | "cr", Some('"' | '#')) => {
                        // `r#type` is the word `type`.
                        out.extend(reader.skip_raw().map(|word| (Token::Word(word), line)));
                    }
                    _ => out.push((Token::Word(word), line)),
                }
            }
            c if c.is_ascii_digit() => drop(reader.word(c)),
            c if c.is_whitespace() => {}
            c => out.push((Token::Sign(c), line)),
        }
    }
    out
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += usize::from(c == Some('\n'));
        c
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        while let Some(c) = self.peek().filter(|c| *c == '_' || c.is_alphanumeric()) {
            word.push(c);
            self.next();
        }
        word
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        let mut last = '/';
        while let Some(c) = self.next() {
            match (last, c) {
                ('/', '*') => (depth, last) = (depth + 1, ' '),
                ('*', '/') => (depth, last) = (depth - 1, ' '),
                _ => last = c,
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_string(&mut self) {
        while let Some(c) = self.next() {
            match c {
                '\\' => drop(self.next()),
                '"' => return,
                _ => {}
            }
        }
    }

    /// Behind `r`: a raw string is skipped, the word of a raw identifier is returned.
    fn skip_raw(&mut self) -> Option<String> {
        let mut hashes = 0;
        while self.peek() == Some('#') {
            self.next();
            hashes += 1;
        }
        match self.next() {
            Some('"') => {}
            Some(c) => return Some(self.word(c)),
            None => return None,
        }
        while let Some(c) = self.next() {
            if c == '"' {
                let mut seen = 0;
                while seen < hashes && self.peek() == Some('#') {
                    self.next();
                    seen += 1;
                }
                if seen == hashes {
                    return None;
                }
            }
        }
        None
    }

    fn skip_char_or_lifetime(&mut self) {
        match self.next() {
            Some('\\') => {
                self.next();
                while self.next().is_some_and(|c| c != '\'') {}
            }
            Some(c) => {
                if self.peek() == Some('\'') {
                    self.next();
                } else if c == '_' || c.is_alphabetic() {
                    self.word(c);
                }
            }
            None => {}
        }
    }
}

/// The paths that a file names, in use declarations and elsewhere; `module` is where the file hangs in its crate.
pub fn named_paths(source: &str, module: &[&str]) -> Vec<Named> {
    let mut finder = Finder {
        tokens: tokens(source).into_iter().peekable(),
        modules: module.iter().map(|part| (*part).to_owned()).collect(),
        open: Vec::new(),
        depth: 0,
        found: Vec::new(),
    };
    finder.run();
    finder.found
}

struct Finder {
    tokens: Peekable<IntoIter<(Token, usize)>>,
    modules: Vec<String>,
    /// Depths of braces at which inline modules began.
    open: Vec<usize>,
    depth: usize,
    found: Vec<Named>,
}

impl Finder {
    fn run(&mut self) {
        while let Some((token, line)) = self.tokens.next() {
            match token {
                Token::Sign('{') => self.depth += 1,
                Token::Sign('}') => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.open.last() == Some(&self.depth) {
                        self.open.pop();
                        self.modules.pop();
                    }
                }
                // Not the captures of `impl Trait + use<'a>`.
                Token::Word(word) if word == "use" && self.peek() != Some(Token::Sign('<')) => {
                    self.use_tree(Vec::new(), line);
                }
                Token::Word(word) if word == "mod" => {
                    if let Some(Token::Word(name)) = self.peek() {
                        self.tokens.next();
                        if self.peek() == Some(Token::Sign('{')) {
                            self.open.push(self.depth);
                            self.modules.push(name);
                        }
                    }
                }
                Token::Word(word) => {
                    let mut segments = vec![word];
                    while self.peek() == Some(Token::Colons) {
                        self.tokens.next();
                        let Some(Token::Word(next)) = self.peek() else { break };
                        self.tokens.next();
                        segments.push(next);
                    }
                    if segments.len() > 1 {
                        self.note(segments, line);
                    }
                }
                _ => {}
            }
        }
    }

    fn peek(&mut self) -> Option<Token> {
        self.tokens.peek().map(|(token, _)| token.clone())
    }

    /// One branch of a use declaration, up to the `,` `}` or `;` behind it.
    fn use_tree(&mut self, prefix: Vec<String>, line: usize) {
        let mut segments = prefix;
        loop {
            match self.peek() {
                Some(Token::Colons) => drop(self.tokens.next()),
                Some(Token::Word(word)) if word == "as" => {
                    self.tokens.next();
                    self.tokens.next();
                }
                Some(Token::Word(word)) => {
                    self.tokens.next();
                    segments.push(word);
                }
                Some(Token::Sign('*')) => {
                    self.tokens.next();
                    segments.push("*".to_owned());
                }
                Some(Token::Sign('{')) => {
                    self.tokens.next();
                    while !matches!(self.peek(), Some(Token::Sign('}')) | None) {
                        let line = self.tokens.peek().map_or(line, |(_, line)| *line);
                        self.use_tree(segments.clone(), line);
                        if matches!(self.peek(), Some(Token::Sign(',' | ';'))) {
                            self.tokens.next();
                        }
                    }
                    self.tokens.next();
                    return;
                }
                Some(Token::Sign(',' | '}' | ';')) | None => break,
                Some(Token::Sign(_)) => drop(self.tokens.next()),
            }
        }
        self.note(segments, line);
    }

    fn note(&mut self, mut segments: Vec<String>, line: usize) {
        // `{self, …}` names the module itself.
        if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        match segments.first().map(String::as_str) {
            None => return,
            Some("crate" | "dagset") => segments[0] = "crate".to_owned(),
            Some("self" | "super") => {
                let ups = segments.iter().filter(|part| *part == "super").count();
                let rest = segments.into_iter().filter(|part| part != "super" && part != "self");
                let kept = self.modules.len().saturating_sub(ups);
                segments =
                    std::iter::once("crate".to_owned()).chain(self.modules[..kept].to_vec()).chain(rest).collect();
            }
            Some(_) => {}
        }
        self.found.push(Named { segments, line });
    }
}
