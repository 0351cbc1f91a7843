//! `--part I/N --by KEY`: one part of a version for each of many readers.

use clap::Args;
use dagset::engine::{Grouping, Share};

/// Which part.
#[derive(Args)]
pub struct Part {
    /// One part of N, about equal in bytes, as 2/8
    #[arg(long = "part", value_name = "I/N", value_parser = parse_share)]
    share: Option<Share>,
    /// Keep together: folder, folder:2, name:{}_*.png, attr:NAME
    #[arg(long, value_name = "KEY", requires = "share", value_parser = parse_grouping)]
    by: Option<Grouping>,
}

impl Part {
    /// The part that was asked for.
    pub fn share(&self) -> Option<Share> {
        let share = self.share.clone()?;
        Some(match &self.by {
            None => share,
            Some(by) => share.by(by.clone()),
        })
    }
}

fn parse_share(text: &str) -> Result<Share, String> {
    Share::parse(text).map_err(super::settings::with_hint)
}

fn parse_grouping(text: &str) -> Result<Grouping, String> {
    Grouping::parse(text).map_err(super::settings::with_hint)
}
