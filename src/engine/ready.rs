//! A version made ready for a command that this process becomes: a view, held by the process's own number.

use std::path::PathBuf;

use crate::base::{Id, Result};
use crate::tree::share::Share;

use super::open::Target;
use super::purged::PurgedPath;
use super::scope::Scope;
use super::uses::Run;
use super::{Address, Engine};

/// A version, or what of it was chosen, as a folder to read.
#[derive(Debug, Clone)]
pub struct Ready {
    pub dataset: String,
    pub version: Id,
    /// The shared tree, read-only.
    pub folder: PathBuf,
    pub files: u64,
    pub bytes: u64,
    /// What of it was purged, and isn't in the folder.
    pub purged: Vec<PurgedPath>,
}

impl Engine {
    /// Makes a view of what an address means, of one part if that is asked for, and holds it until this process ends, also when it has
    /// become another program by then. A `run` is recorded as using it.
    pub fn hold_ready(&self, address: &Address, share: Option<&Share>, run: Option<&Run>) -> Result<Ready> {
        let target = self.open_target(address)?;
        let version = target.version()?.row.version;
        self.or_let_go(&target, &version, self.hold_readable(&target, share, run))
    }

    fn hold_readable(&self, target: &Target, share: Option<&Share>, run: Option<&Run>) -> Result<Ready> {
        let state = target.readable()?;
        let manifest = target.store.manifest(state);
        let scope = Scope::of(target, &manifest, &[], share)?;
        let chain = self.chain()?;
        let (view, _) =
            self.held_view(&chain, target, &manifest, &scope, |plan, held| self.own_hold(target, plan, held))?;
        self.note_use(target, run);
        Ok(Ready {
            dataset: target.dataset.to_string(),
            version: state.row.version,
            // Not the link to it: `find` and `du` stop at links.
            folder: chain.filled().view_folder(&view.card.tree),
            files: view.card.files,
            bytes: view.card.bytes,
            purged: scope.purged(&manifest)?,
        })
    }

    /// Renews the leases of this machine's living processes, and takes away those of dead ones.
    pub fn tend_leases(&self) -> Result<()> {
        self.chain()?.filled().holds().map(drop)
    }
}
