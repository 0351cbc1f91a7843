//! Lists of paths from a file or a pipe.

use std::io::Read;
use std::path::Path;

use dagset::base::{Error, Kind, Result};

use super::Context;

/// The paths in the file `list`, by line or by NUL; `-` is stdin. An empty list is an error.
pub fn read(context: &Context, option: &str, list: &Path) -> Result<Vec<String>> {
    let mut bytes = Vec::new();
    if list.as_os_str() == "-" {
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|fault| Error::new(Kind::Failed, "cannot read the list from stdin").because(fault))?;
    } else {
        let path = context.folder()?.join(list);
        bytes = std::fs::read(&path).map_err(|fault| match fault.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!("there is no {}", list.display())),
            _ => Error::io("read", &path, fault),
        })?;
    }
    let separator = if bytes.contains(&0) { 0 } else { b'\n' };
    let paths = bytes.split(|byte| *byte == separator).filter(|path| !path.is_empty());
    let text = |path: &[u8]| {
        let path = path.strip_suffix(b"\r").filter(|_| separator == b'\n').unwrap_or(path);
        String::from_utf8(path.to_owned()).map_err(|fault| {
            Error::usage(format!("a path of the list isn't UTF-8: {}", String::from_utf8_lossy(fault.as_bytes())))
        })
    };
    let paths = paths.map(text).collect::<Result<Vec<_>>>()?;
    // A broken pipe in front of us must not be taken for a wish for nothing.
    match paths.is_empty() {
        true => Err(Error::usage(format!("the list of {option} is empty"))),
        false => Ok(paths),
    }
}
