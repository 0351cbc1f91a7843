//! Uses, put back byte for byte from any store that has them: a use's name is made from what it says.

use std::collections::HashSet;

use crate::base::{Event, Kind, Result};
use crate::format::header::ObjectKind;
use crate::store::objects::Bucket;
use crate::store::uses;

use super::super::verify::Finding;
use super::{Mended, Mender, put_back};

impl Mender<'_> {
    /// Puts uses back that a copy of the store has and this one hasn't: nothing names them, and no command deletes any.
    pub fn add_uses(&self, bucket: &Bucket, store: [u8; 16]) -> Result<Vec<Mended>> {
        let mut mended = Vec::new();
        for copy in self.copies(store) {
            for version in copy.bucket.list(ObjectKind::Use.folder())?.folders {
                let folder = format!("{}/{version}", ObjectKind::Use.folder());
                let here: HashSet<String> = match bucket.list(&folder) {
                    // Something else stands there: that is a finding.
                    Err(fault) if fault.kind() == Kind::Damaged => continue,
                    listing => listing?.objects.into_iter().map(|object| object.name).collect(),
                };
                let there = copy.bucket.list(&folder)?.objects.into_iter().map(|object| object.name);
                for name in there.filter(|name| !here.contains(name)) {
                    let object = format!("{folder}/{name}");
                    // Damage in a copy is the copy's; what stands here and isn't listed is a finding.
                    let Some(bytes) = copy.bucket.get(&object).ok().filter(|it| uses::check(&object, it).is_ok())
                    else {
                        continue;
                    };
                    if !self.dry_run {
                        put_back(bucket, &object, &bytes)?;
                    }
                    mended.push(Mended { object, how: "put back from a copy of the store".to_owned() });
                }
            }
        }
        Ok(mended)
    }

    /// Puts back the damaged uses in `findings`, where a store has them.
    pub(super) fn mend_uses(&self, bucket: &Bucket, findings: &[Finding]) -> Result<Vec<Mended>> {
        let is_use = |finding: &&Finding| finding.object.split('/').next() == Some(ObjectKind::Use.folder());
        let mut mended = Vec::new();
        for Finding { object, .. } in findings.iter().filter(is_use) {
            self.observer.tell(Event::Phase("mending uses"));
            for source in self.stores {
                let bytes = match source.bucket.get(object) {
                    Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                    read => read.ok().filter(|bytes| uses::check(object, bytes).is_ok()),
                };
                let Some(bytes) = bytes else { continue };
                if !self.dry_run {
                    put_back(bucket, object, &bytes)?;
                }
                mended.push(Mended { object: object.clone(), how: "put back from another store".to_owned() });
                break;
            }
        }
        Ok(mended)
    }
}
