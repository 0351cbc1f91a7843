//! Datasets as wholes: renamed, deleted, brought back. What is deleted is set aside under the number of the record that did it, with all
//! of its refs and versions, so that bringing it back needs nothing but that number.

use crate::base::{DatasetName, Error, Result};

use super::{Dataset, Fold, Undo};

/// What became of a dataset, and by which record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone<'f> {
    Renamed { to: &'f DatasetName, record: u64 },
    Deleted { record: u64 },
}

impl Fold {
    /// The dataset, or an error that says what became of it.
    pub fn dataset(&self, name: &DatasetName) -> Result<&Dataset> {
        self.datasets.get(name).ok_or_else(|| self.no_dataset(name))
    }

    /// What a dataset that is gone is called now, and the record that renamed it last.
    pub fn new_name(&self, name: &DatasetName) -> Option<(&DatasetName, u64)> {
        let (mut to, mut record) = self.renamed.get(name).map(|(to, record)| (to, *record))?;
        // Each step is a record later than the one before it, so that this ends.
        while let Some((next, later)) = self.renamed.get(to).filter(|(_, later)| *later > record) {
            (to, record) = (next, *later);
        }
        Some((to, record))
    }

    /// The newest record that deleted a dataset of this name which hasn't been brought back.
    pub fn deletion_of(&self, name: &DatasetName) -> Option<u64> {
        self.deleted.keys().filter(|(_, deleted)| deleted == name).map(|(record, _)| *record).max()
    }

    /// What became of a dataset that was here and is not any more, of two such of one name the later.
    pub fn gone(&self, name: &DatasetName) -> Option<Gone<'_>> {
        let deleted = self.deletion_of(name);
        match self.new_name(name).filter(|(to, _)| self.datasets.contains_key(to)) {
            Some((to, record)) if deleted.is_none_or(|deleted| deleted < record) => Some(Gone::Renamed { to, record }),
            _ => deleted.map(|record| Gone::Deleted { record }),
        }
    }

    fn no_dataset(&self, name: &DatasetName) -> Error {
        Error::not_found(match self.gone(name) {
            Some(Gone::Renamed { to, record }) => {
                format!("the dataset {name} is called {to} since record {record} of the log")
            }
            Some(Gone::Deleted { record }) => format!("the dataset {name} was deleted by record {record} of the log"),
            None => format!("the store has no dataset {name}"),
        })
    }

    pub(super) fn create_dataset(&mut self, name: &DatasetName, new: Dataset, undo: &mut Vec<Undo>) -> Result<()> {
        if self.datasets.contains_key(name) {
            return Err(Error::conflict(format!("the dataset {name} exists already")));
        }
        self.datasets.insert(name.clone(), new);
        undo.push(Undo::Dataset(name.clone(), self.renamed.remove(name)));
        Ok(())
    }

    pub(super) fn rename_dataset(
        &mut self,
        from: &DatasetName,
        to: &DatasetName,
        record: u64,
        undo: &mut Vec<Undo>,
    ) -> Result<()> {
        if self.datasets.contains_key(to) {
            return Err(Error::conflict(format!("the dataset {to} exists already")));
        }
        let dataset = self.take_dataset(from)?;
        self.datasets.insert(to.clone(), dataset);
        let of_from = self.renamed.insert(from.clone(), (to.clone(), record));
        let of_to = self.renamed.remove(to);
        undo.push(Undo::Renamed { from: (from.clone(), of_from), to: (to.clone(), of_to) });
        Ok(())
    }

    pub(super) fn delete_dataset(&mut self, name: &DatasetName, record: u64, undo: &mut Vec<Undo>) -> Result<()> {
        let key = (record, name.clone());
        if self.deleted.contains_key(&key) {
            return Err(Error::conflict(format!("record {record} deletes the dataset {name} twice")));
        }
        let dataset = self.take_dataset(name)?;
        self.deleted.insert(key.clone(), dataset);
        undo.push(Undo::Deleted(key));
        Ok(())
    }

    pub(super) fn restore_dataset(&mut self, name: &DatasetName, deletion: u64, undo: &mut Vec<Undo>) -> Result<()> {
        if self.datasets.contains_key(name) {
            return Err(Error::conflict(format!("another dataset is called {name} by now"))
                .hint(format!("`dagset dataset rename {name} OTHER` first")));
        }
        let key = (deletion, name.clone());
        let dataset = self
            .deleted
            .remove(&key)
            .ok_or_else(|| Error::conflict(format!("record {deletion} didn't delete a dataset {name} that is gone")))?;
        self.datasets.insert(name.clone(), dataset);
        undo.push(Undo::Restored(key, self.renamed.remove(name)));
        Ok(())
    }

    /// Takes a dataset out, to be put elsewhere.
    fn take_dataset(&mut self, name: &DatasetName) -> Result<Dataset> {
        match self.datasets.remove(name) {
            Some(dataset) => Ok(dataset),
            None => Err(self.no_dataset(name)),
        }
    }

    /// Puts a dataset that a step made, renamed, deleted or brought back where it was before.
    pub(super) fn put_back_dataset(&mut self, step: Undo) {
        let mut move_back = |from: &DatasetName, to: DatasetName| {
            if let Some(dataset) = self.datasets.remove(from) {
                self.datasets.insert(to, dataset);
            }
        };
        match step {
            Undo::Dataset(name, was_renamed) => {
                self.datasets.remove(&name);
                super::put_back(&mut self.renamed, name, was_renamed);
            }
            Undo::Renamed { from, to } => {
                move_back(&to.0, from.0.clone());
                super::put_back(&mut self.renamed, from.0, from.1);
                super::put_back(&mut self.renamed, to.0, to.1);
            }
            Undo::Deleted(key) => {
                if let Some(dataset) = self.deleted.remove(&key) {
                    self.datasets.insert(key.1, dataset);
                }
            }
            Undo::Restored(key, was_renamed) => {
                if let Some(dataset) = self.datasets.remove(&key.1) {
                    super::put_back(&mut self.renamed, key.1.clone(), was_renamed);
                    self.deleted.insert(key, dataset);
                }
            }
            _ => {}
        }
    }
}
