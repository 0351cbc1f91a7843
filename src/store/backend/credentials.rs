//! Keys that a helper program prints or the service of a container hands out, kept until shortly before they expire.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use object_store::client::{HttpClient, HttpRequestBody};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::super::access::Access;
use super::super::aws::{Keys, Signer, parse_keys};
use super::generic;
use crate::base::{Error, Kind, Result, Time};

/// Keys that live no longer than this are asked for anew: a request may take a while.
const TOO_SHORT: Duration = Duration::from_secs(300);

/// Who gives no keys that live longer is not asked more often than this, as long as they live.
const NOT_AGAIN: Duration = Duration::from_secs(30);

/// How long a helper may take: it may ask a server.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who gives keys.
pub(super) enum Giver {
    Helper { signer: Signer, access: Access },
    Container { client: HttpClient, url: String, token: Option<Token> },
}

/// What a container's service wants to be shown.
pub(super) enum Token {
    /// Read each time: it is changed now and then.
    InFile(PathBuf),
    Given(String),
}

/// Asks where there are no keys yet, or old ones.
pub(super) struct Renewed {
    giver: Giver,
    /// Locked while keys are asked for, so that it is done once for all who wait.
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

impl Renewed {
    pub(super) fn new(giver: Giver) -> Renewed {
        Renewed { giver, got: Mutex::default() }
    }
}

impl std::fmt::Debug for Renewed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Renewed")
    }
}

impl Giver {
    async fn ask(&self) -> object_store::Result<Keys> {
        match self {
            Giver::Helper { signer, access } => {
                run(signer.clone(), access.clone()).await.map_err(|f| generic(f.into()))
            }
            Giver::Container { client, url, token } => ask_container(client, url, token.as_ref()).await,
        }
    }
}

async fn run(signer: Signer, access: Access) -> Result<Keys> {
    match timeout(PATIENCE, tokio::task::spawn_blocking(move || signer.run(&access))).await {
        Ok(Ok(keys)) => keys,
        Ok(Err(fault)) => Err(Error::new(Kind::Failed, "a helper for credentials failed").because(fault)),
        Err(_) => {
            let why = format!("a helper for credentials took longer than {} s", PATIENCE.as_secs());
            Err(Error::new(Kind::Unreachable, why))
        }
    }
}

async fn ask_container(client: &HttpClient, url: &str, token: Option<&Token>) -> object_store::Result<Keys> {
    let failed = |why: String| {
        let fault = Error::new(Kind::Unreachable, "no credentials were got (the container's role)").because(why);
        generic(fault.hint("check the AWS_CONTAINER_… variables, and the container's role").into())
    };
    let mut request = http::Request::get(url).header(ACCEPT, "application/json");
    if let Some(token) = token {
        let text = match token {
            Token::Given(text) => text.clone(),
            Token::InFile(path) => {
                let read = std::fs::read_to_string(path);
                read.map_err(|fault| failed(format!("the token in {} can't be read: {fault}", path.display())))?
            }
        };
        let value = HeaderValue::from_str(text.trim());
        request = request.header(AUTHORIZATION, value.map_err(|_| failed("the token has a line break".to_owned()))?);
    }
    let request = request.body(HttpRequestBody::empty()).map_err(|_| failed(format!("not a URL: {url}")))?;
    // Why there are none is noted where requests are made. What was said may hold secrets, so a fault in it is not shown.
    let answer = client.execute(request).await.map_err(|fault| generic(fault.into()))?;
    let is_given = answer.status().is_success();
    let body = answer.into_body().bytes().await.map_err(|fault| generic(fault.into()))?;
    parse_keys(&body).filter(|_| is_given).map(|(_, keys)| keys).ok_or_else(|| generic("no credentials".into()))
}

pub(super) fn credential(keys: &Keys) -> AwsCredential {
    AwsCredential { key_id: keys.id.clone(), secret_key: keys.secret.clone(), token: keys.token.clone() }
}

fn lives_for(keys: &Keys, time: Duration) -> bool {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    keys.expire.is_none_or(|expire| expire.0.saturating_sub(Time::now().0) > millis)
}

#[async_trait]
impl CredentialProvider for Renewed {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut got = self.got.lock().await;
        if let Some(got) = got.as_ref().filter(|got| got.serves()) {
            return Ok(Arc::new(credential(&got.keys)));
        }
        match (self.giver.ask().await, got.as_mut().filter(|got| lives_for(&got.keys, Duration::ZERO))) {
            (Ok(keys), _) => Ok(Arc::new(credential(&got.insert(Got { keys, at: Instant::now() }).keys))),
            (Err(_), Some(old)) => {
                old.at = Instant::now();
                Ok(Arc::new(credential(&old.keys)))
            }
            (Err(fault), None) => Err(fault),
        }
    }
}
