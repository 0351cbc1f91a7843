//! `prune --pushed`: the store in a workspace gives up what a remote has, and borrows it from then on, as a clone does.

use crate::base::{Error, Event, Kind, RefName, Result};
use crate::flow::thin::{Keeper, Thinned, Thinner};
use crate::history::timeline::Timeline;
use crate::workspace::control::EMBEDDED;

use super::Engine;
use super::open::OpenStore;

/// What a thinning did, or would do.
#[derive(Debug, Clone)]
pub struct ThinReport {
    /// The store's path.
    pub store: String,
    /// The remotes that were asked.
    pub remotes: Vec<RefName>,
    pub thinned: Thinned,
    pub dry_run: bool,
}

impl Engine {
    /// Takes out of the store that is embedded in the workspace the chunks that its remotes can give back. Metadata stays, and so does whatever
    /// a version needs that no remote has. The remotes are asked now.
    ///
    /// Errors: [`Kind::Usage`] where the home store isn't embedded: others may rest on it.
    pub fn prune_pushed(&self, dry_run: bool) -> Result<ThinReport> {
        let control = self.find_workspace()?;
        let _lock = control.lock(&self.observer)?;
        let config = control.config()?;
        let store = control.store_text(&config);
        if config.store != EMBEDDED {
            return Err(Error::usage(format!(
                "the home store {store} isn't embedded in the workspace: others may rest on it"
            ))
            .hint(format!("`dagset gc {store}` frees what nothing leads to")));
        }
        if config.remotes.is_empty() {
            self.remote(None)?;
        }
        let (mut keepers, mut remotes, mut first_fault) = (Vec::new(), Vec::new(), None);
        for (name, remote) in &config.remotes {
            match self.open_store(&remote.url) {
                Ok((open, _)) => {
                    self.refuse_as_keeper(name, &store, &open.root)?;
                    remotes.push(name.clone());
                    keepers.push(keeper(open));
                }
                Err(fault) => {
                    let text = format!("the remote {name} isn't asked: {}", fault.in_one_line());
                    first_fault.get_or_insert(fault.within(format!("the remote {name} can't be asked what it has")));
                    self.observer.tell(Event::Warning(text));
                }
            }
        }
        if let Some(fault) = first_fault.filter(|_| keepers.is_empty()) {
            return Err(fault);
        }
        if self.settings.access.offline {
            return Err(Error::new(Kind::Unreachable, "what the remotes have can't be asked offline")
                .hint("run the command without --offline"));
        }
        let (mut open, _) = self.open_store(&store)?;
        let content_of = |timeline: &Timeline| self.content_at(&store, timeline);
        let (actor, observer) = (self.actor(), self.observer.clone());
        let keepers_now = || {
            let asked = config.remotes.iter().filter(|(name, _)| remotes.contains(name));
            asked.map(|(_, remote)| Ok(keeper(self.open_store(&remote.url)?.0))).collect::<Result<Vec<_>>>()
        };
        let keepers_now = &keepers_now;
        let thinner = Thinner { actor, observer, content_of: &content_of, keepers: &keepers, keepers_now, dry_run };
        let thinned = thinner.thin(&mut open.timeline)?;
        if thinned.kept_packs > 0 {
            let text =
                format!("{} packs stay: the remotes no longer keep what they were to give back", thinned.kept_packs);
            self.observer.tell(Event::Warning(text));
        }
        Ok(ThinReport { store, remotes, thinned, dry_run })
    }

    /// A store keeps nothing for itself; and one that is embedded in a workspace may be thinned in its turn.
    fn refuse_as_keeper(&self, name: &RefName, home: &str, remote: &str) -> Result<()> {
        let hint = "`dagset remote add` names a store of its own; `dagset push` sends what it lacks";
        if self.is_one_store(home, remote) {
            return Err(Error::usage(format!(
                "the remote {name} is the workspace's own store: nobody else has what is in it"
            ))
            .hint(hint));
        }
        match self.embedding(remote)? {
            None => Ok(()),
            Some((control, _)) => Err(Error::usage(format!(
                "the remote {name} is the store in the workspace {}, which may be thinned too: then nobody would have it",
                control.root().display()
            ))
            .hint(hint)),
        }
    }
}

fn keeper(open: OpenStore) -> Keeper {
    let (bucket, fold) = (open.timeline.bucket().clone(), open.timeline.fold().clone());
    Keeper { bucket, fold, content: open.content }
}
