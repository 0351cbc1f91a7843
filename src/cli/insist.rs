//! `--force --reason TEXT`: doing what something published or protected stands against.

use clap::Args;
use dagset::base::Result;
use dagset::engine::Reason;

#[derive(Args)]
pub struct Insist {
    /// Do it though what is published or protected stands against it
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why; the log keeps it
    #[arg(long, value_name = "TEXT", requires = "force")]
    reason: Option<String>,
}

impl Insist {
    /// The reason, if there is one.
    pub fn reason(&self) -> Result<Option<Reason>> {
        parse(self.reason.as_deref())
    }
}

/// A reason as it was written.
pub fn parse(text: Option<&str>) -> Result<Option<Reason>> {
    text.map(Reason::new).transpose()
}
