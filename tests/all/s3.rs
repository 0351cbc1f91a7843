//! Real S3 servers, as the environment of the tests names them: `scripts/test` starts them.
//!
//! Where there is none, a test that needs one says so with a `LEFT OUT:` line and returns; `scripts/test` shows these lines.

use std::collections::BTreeMap;
use std::env;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dagset::base::Observer;
use dagset::engine::{Access, Patience};
use dagset::store::{Bucket, backend};

use crate::env::TestEnv;

/// Which server a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// One that does all that S3 promises.
    Real,
    /// One whose conditional writes are not atomic.
    Weak,
}

impl Server {
    fn variable(self) -> &'static str {
        match self {
            Server::Real => "DAGSET_TEST_S3",
            Server::Weak => "DAGSET_TEST_S3_WEAK",
        }
    }
}

/// A running server, and who may write there.
#[derive(Debug, Clone)]
pub struct S3 {
    /// `http://HOST:PORT`.
    pub endpoint: String,
    pub key: String,
    pub secret: String,
    /// A bucket that is there.
    pub bucket: String,
}

/// The server, or `None`, which has been said loudly, past the harness that swallows what a passing test prints.
pub fn server(server: Server) -> Option<S3> {
    let variable = |name: &str, usual: &str| env::var(name).unwrap_or_else(|_| usual.to_owned());
    let Ok(endpoint) = env::var(server.variable()) else {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let line = format!(
            "LEFT OUT: {test} needs an S3 server ({} is not set; scripts/test starts one)\n",
            server.variable()
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return None;
    };
    Some(S3 {
        endpoint,
        key: variable("DAGSET_TEST_S3_KEY", "testkey123"),
        secret: variable("DAGSET_TEST_S3_SECRET", "testsecret123"),
        bucket: variable("DAGSET_TEST_S3_BUCKET", "test"),
    })
}

impl S3 {
    /// The same server as one of its users of few rights, `reader` or `writer`, in the bucket that has their policies.
    pub fn limited_to(&self, who: &str) -> S3 {
        S3 { key: format!("{who}123"), bucket: "rights".to_owned(), ..self.clone() }
    }

    /// The same server, spoken to by another way.
    pub fn through(&self, endpoint: String) -> S3 {
        S3 { endpoint, ..self.clone() }
    }

    /// A prefix of the test's own: `s3://BUCKET/run-…/NAME`.
    pub fn url(&self, name: &str) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let (process, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        format!("s3://{}/run-{process}-{now}/{next}-{name}", self.bucket)
    }

    /// The variables that lead here.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let variables = [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_ACCESS_KEY_ID", &self.key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
        ];
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    /// Has the commands of `env` come here.
    pub fn reach_from(&self, env: &mut TestEnv) {
        self.environment().iter().for_each(|(name, value)| env.set(name, value));
    }

    /// The way here for the library, which gives up sooner than a user's.
    pub fn access(&self) -> Access {
        let patience =
            Patience { idle: Duration::from_secs(10), first_pause: Duration::from_millis(5), ..Patience::default() };
        Access { environment: self.environment(), patience, ..Access::default() }
    }

    /// An empty place of the test's own.
    pub fn bucket(&self, name: &str) -> Bucket {
        backend::open(&self.url(name), &self.access(), &Observer::new()).unwrap()
    }
}
