//! A store that is embedded in a workspace is thin: what it lacks is lent by the workspace's remotes, from wherever it is looked at.
//!
//! From the outside a workspace's folder stands for its home store, and for its dataset where none is named: `./signs@1.0` is a version
//! of what is kept in `./signs/.dagset/store`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::base::{DatasetName, Error, Kind, RefName, Result};
use crate::store::address::{divide, is_remote, refuse_secret};
use crate::store::content::Content;
use crate::store::locate::STORE_FILE;
use crate::workspace::control::{Config, Control, EMBEDDED};

use super::{Engine, workspace_remotes};

/// Whom a store that is embedded in a workspace borrows from.
pub(super) struct Lending {
    pub workspace: Control,
    /// An engine that reaches the lenders.
    pub engine: Engine,
    /// The workspace's remotes, and the URLs of their stores.
    pub remotes: Vec<(RefName, String)>,
}

impl Engine {
    /// The text of a store, with the home store in the place of a workspace's folder.
    pub(super) fn store_meant<'t>(&self, text: &'t str) -> Result<Cow<'t, str>> {
        // Here all that is opened passes, the default store too.
        refuse_secret(text, "a store's URL")?;
        let (folder, dataset) = divide(text).map_or((text, None), |(folder, dataset)| (folder, Some(dataset)));
        let Some((workspace, config)) = self.workspace_at(folder)? else { return Ok(text.into()) };
        let home = workspace.store_text(&config);
        Ok(dataset.map_or(home.clone(), |dataset| format!("{home}//{dataset}")).into())
    }

    /// The dataset that `text` means, where `rest` follows the store in it.
    ///
    /// Errors: [`Kind::Usage`] where it names a store alone.
    pub(super) fn dataset_meant(&self, text: &str, rest: Option<String>) -> Result<DatasetName> {
        match (rest, self.workspace_at(text)?) {
            (Some(rest), _) => DatasetName::new(&rest),
            (None, Some((_, config))) => Ok(config.dataset),
            (None, None) => Err(Error::usage(format!("{text} names a store and no dataset in it"))
                .hint(format!("`dagset list {text}` shows its datasets"))),
        }
    }

    /// The workspace whose folder `text` is; a folder that is a store itself is that.
    fn workspace_at(&self, text: &str) -> Result<Option<(Control, Config)>> {
        if is_remote(text) {
            return Ok(None);
        }
        let folder = PathBuf::from(self.absolute(text));
        let found = Control::find(&folder).filter(|found| found.root() == folder && !folder.join(STORE_FILE).exists());
        found.map(|found| found.config().map(|config| (found, config))).transpose()
    }

    /// The workspace that the store at `root` is embedded in.
    pub(super) fn embedding(&self, root: &str) -> Result<Option<(Control, Config)>> {
        let Some(store) = self.folder_of(root) else { return Ok(None) };
        let workspace = store.parent().and_then(Path::parent).and_then(Control::find);
        let Some(workspace) = workspace.filter(|workspace| workspace.folder().join("store") == store) else {
            return Ok(None);
        };
        let config = workspace.config()?;
        Ok((config.store == EMBEDDED).then_some((workspace, config)))
    }

    /// The real path of a store in a folder.
    fn folder_of(&self, root: &str) -> Option<PathBuf> {
        if is_remote(root) { None } else { Path::new(&self.absolute(root)).canonicalize().ok() }
    }

    /// Whom the store at `root` borrows from. `None` where it borrows from nobody, or is being borrowed from by one of them.
    pub(super) fn lending(&self, root: &str) -> Result<Option<Lending>> {
        let Some((workspace, config)) = self.embedding(root)? else { return Ok(None) };
        let store = workspace.folder().join("store");
        if self.borrowers.contains(&store) {
            return Ok(None);
        }
        let mut engine = self.clone();
        engine.borrowers.push(store);
        engine.settings.access.remotes.extend(workspace_remotes(workspace.root()));
        let remotes = config.remotes.into_iter().map(|(name, remote)| (name, remote.url));
        Ok(Some(Lending { workspace, engine, remotes: remotes.collect() }))
    }

    /// Lets the content of the store at `root`, if it is embedded in a workspace, be completed from the remotes of that.
    pub(super) fn borrow_for(&self, root: &str, content: &mut Content) -> Result<()> {
        let Some(Lending { workspace, engine, remotes }) = self.lending(root)? else { return Ok(()) };
        for (name, url) in remotes {
            let (engine, workspace) = (engine.clone(), workspace.root().to_owned());
            content.borrow_from(move || match engine.open_store(&url) {
                Ok((store, _)) => Ok(store.content),
                Err(fault) => {
                    let message =
                        format!("{} holds content at its remote {url}, which can't be opened", workspace.display());
                    Err(Error::new(Kind::Unreachable, message)
                        .because(fault)
                        .hint(format!("`dagset -C {} remote check {name}` says why", workspace.display())))
                }
            });
        }
        Ok(())
    }
}
