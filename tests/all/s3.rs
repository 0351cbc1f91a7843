//! The real S3 server that tests talk to, where one runs: `scripts/test` starts it and says where.

use crate::env::TestEnv;

/// Says where the server is.
const ENDPOINT: &str = "DAGSET_TEST_S3";

pub struct Server {
    endpoint: String,
}

/// The server. Tests that need it are ignored by a plain `cargo test`, which says so.
#[track_caller]
pub fn server() -> Server {
    Server { endpoint: std::env::var(ENDPOINT).expect("DAGSET_TEST_S3 names a server: use scripts/test") }
}

impl Server {
    /// Gives the commands of `env` what they need to be let in.
    pub fn let_in(&self, env: &mut TestEnv) {
        for (name, value) in [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "testkey123"),
            ("AWS_SECRET_ACCESS_KEY", "testsecret123"),
            ("AWS_REGION", "us-east-1"),
        ] {
            env.set(name, value);
        }
    }

    /// The URL of a store that nobody else uses; nothing is there yet.
    pub fn new_store(&self) -> String {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).expect("random bytes");
        format!("s3://test/{}", random.map(|byte| format!("{byte:02x}")).concat())
    }
}
