//! What a new version is called: `--as` or `--bump`, wherever one is made.

use clap::{Args, ValueEnum};
use dagset::engine::Bump;

/// The name of a version that is made.
#[derive(Args)]
pub struct Naming {
    /// Name the version, as 1.2.0
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// Next number: major, minor, patch or auto
    #[arg(long, value_name = "PART", conflicts_with = "name", hide_possible_values = true)]
    bump: Option<Part>,
}

/// Which part of the number grows.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    Major,
    Minor,
    Patch,
    Auto,
}

impl Naming {
    /// The number that is asked for, if one is.
    pub fn bump(&self) -> Option<Bump> {
        self.bump.map(|part| match part {
            Part::Major => Bump::Major,
            Part::Minor => Bump::Minor,
            Part::Patch => Bump::Patch,
            Part::Auto => Bump::Auto,
        })
    }
}
