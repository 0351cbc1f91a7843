//! Keys that a helper program prints, kept until shortly before they expire.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::super::access::Access;
use super::super::aws::{Keys, Signer};
use super::generic;
use crate::base::{Error, Kind, Time};

/// Keys that live no longer than this are asked for anew: a request may take a while.
const TOO_SHORT: Duration = Duration::from_secs(300);

/// A helper whose keys never live longer is not asked more often than this, as long as they live.
const NOT_AGAIN: Duration = Duration::from_secs(30);

/// How long a helper may take: it may ask a server.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a helper where there are no keys yet, or old ones.
pub(super) struct Signed {
    signer: Signer,
    access: Access,
    /// Locked while the helper runs, so that it runs once for all who wait.
    got: Mutex<Option<Got>>,
}

struct Got {
    keys: Keys,
    at: Instant,
}

impl Got {
    /// Whether the keys serve one more request.
    fn serves(&self) -> bool {
        lives_for(&self.keys, TOO_SHORT) || (self.at.elapsed() < NOT_AGAIN && lives_for(&self.keys, Duration::ZERO))
    }
}

impl Signed {
    pub(super) fn new(signer: Signer, access: Access) -> Signed {
        Signed { signer, access, got: Mutex::default() }
    }
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").field("signer", &self.signer).finish_non_exhaustive()
    }
}

pub(super) fn credential(keys: &Keys) -> AwsCredential {
    AwsCredential { key_id: keys.id.clone(), secret_key: keys.secret.clone(), token: keys.token.clone() }
}

fn lives_for(keys: &Keys, time: Duration) -> bool {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    keys.expire.is_none_or(|expire| expire.0.saturating_sub(Time::now().0) > millis)
}

#[async_trait]
impl CredentialProvider for Signed {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut got = self.got.lock().await;
        if let Some(got) = got.as_ref().filter(|got| got.serves()) {
            return Ok(Arc::new(credential(&got.keys)));
        }
        let (signer, access) = (self.signer.clone(), self.access.clone());
        let ran = timeout(PATIENCE, tokio::task::spawn_blocking(move || signer.run(&access))).await;
        let fresh = match ran {
            Ok(Ok(fresh)) => fresh,
            Ok(Err(fault)) => Err(Error::new(Kind::Failed, "a helper for credentials failed").because(fault)),
            Err(_) => {
                let why = format!("a helper for credentials took longer than {} s", PATIENCE.as_secs());
                Err(Error::new(Kind::Unreachable, why))
            }
        };
        match (fresh, got.as_mut().filter(|got| lives_for(&got.keys, Duration::ZERO))) {
            (Ok(keys), _) => Ok(Arc::new(credential(&got.insert(Got { keys, at: Instant::now() }).keys))),
            (Err(_), Some(old)) => {
                old.at = Instant::now();
                Ok(Arc::new(credential(&old.keys)))
            }
            (Err(fault), None) => Err(generic(fault.into())),
        }
    }
}
