//! Uses, put back byte for byte from any store that has them: a use's name is made from what it says.

use crate::base::{Event, Kind, Result};
use crate::format::header::ObjectKind;
use crate::store::objects::Bucket;
use crate::store::uses;

use super::super::verify::Finding;
use super::{Mended, Mender, put_back};

impl Mender<'_> {
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
