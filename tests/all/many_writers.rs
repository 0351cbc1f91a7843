//! Many processes that publish into one store at once, some killed on their way and started again: no version is lost, none comes
//! twice, the log's chain holds.

use std::process::{Child, Output, Stdio};
use std::time::Duration;

use crate::env::TestEnv;
use crate::s3;
use crate::stage::noise;

const WRITERS: usize = 32;
/// Writers that share one branch lose races: each is started again until it has published.
const MOST_STARTS: usize = 60;

/// One process's job: a folder of its own as a version of its own name.
struct Writer {
    number: usize,
    dataset: String,
    branch: String,
}

impl Writer {
    /// A third of them on one branch, a third on branches of their own, a third in datasets of their own.
    fn new(number: usize) -> Writer {
        let (dataset, branch) = match number % 3 {
            0 => ("shared".to_owned(), "main".to_owned()),
            1 => ("shared".to_owned(), format!("branch/{number}")),
            _ => (format!("set-{number}"), "main".to_owned()),
        };
        Writer { number, dataset, branch }
    }

    fn name(&self) -> String {
        format!("w{}", self.number)
    }

    fn source(&self) -> String {
        format!("source-{}", self.number)
    }

    fn lay_out(&self, env: &TestEnv) {
        for file in 0..8 {
            env.write(&format!("{}/{file}.txt", self.source()), format!("writer {}, file {file}", self.number));
        }
        env.write(&format!("{}/big.bin", self.source()), noise(self.number as u64, 300_000));
    }

    fn start(&self, env: &TestEnv, store: &str) -> Child {
        let into = format!("{store}//{}", self.dataset);
        let mut command = env.command();
        command.args(["ingest", &self.source(), "--into", &into, "--create"]);
        command.args(["--branch", &self.branch, "--as", &self.name(), "--json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("starts")
    }

    /// Runs until the version is published; the `first` process may have been killed.
    fn see_through(&self, env: &TestEnv, store: &str, first: Child) {
        let mut child = first;
        for _ in 0..MOST_STARTS {
            let output = child.wait_with_output().expect("ends");
            if self.is_published(&output) {
                return;
            }
            child = self.start(env, store);
        }
        panic!("writer {} did not publish in {MOST_STARTS} starts", self.number);
    }

    /// Whether it did, now or before it was killed: then its name is taken by the version that it made.
    fn is_published(&self, output: &Output) -> bool {
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => true,
            // Another writer moved the branch.
            Some(4) => said.contains(&format!("the name {} is taken", self.name())),
            Some(7) | None => false,
            code => panic!("writer {} ended with {code:?}: {said}", self.number),
        }
    }
}

/// Lets all publish at once into a new store, kills some, and checks what is there in the end.
fn all_publish(env: &TestEnv, store: &str) {
    assert_eq!(env.run(["store", "create", store, "--quiet"]).exits(0).text(), "");
    let writers: Vec<Writer> = (0..WRITERS).map(Writer::new).collect();
    writers.iter().for_each(|writer| writer.lay_out(env));
    let mut children: Vec<Child> = writers.iter().map(|writer| writer.start(env, store)).collect();
    for (number, child) in children.iter_mut().enumerate().filter(|(number, _)| number % 4 == 1) {
        std::thread::sleep(Duration::from_millis(10 + 37 * (number as u64 % 5)));
        // One that has ended already can't be killed.
        child.kill().ok();
    }
    std::thread::scope(|scope| {
        for (writer, child) in writers.iter().zip(children) {
            scope.spawn(move || writer.see_through(env, store, child));
        }
    });

    assert!(env.run(["verify", store]).exits(0).text().starts_with("ok"));
    let listed = env.run(["list", store, "--json"]).json();
    let versions = |name: &str| {
        let rows = listed["datasets"].as_array().expect("a list");
        let row = rows.iter().find(|row| row["dataset"] == name).unwrap_or_else(|| panic!("no {name}: {listed}"));
        row["versions"].as_u64().expect("a number")
    };
    let shared = writers.iter().filter(|writer| writer.dataset == "shared").count() as u64;
    assert_eq!(versions("shared"), shared, "none lost, none twice");
    for writer in &writers {
        if writer.dataset != "shared" {
            assert_eq!(versions(&writer.dataset), 1);
        }
        let out = format!("out-{}", writer.number);
        let address = format!("{store}//{}@{}", writer.dataset, writer.name());
        assert_eq!(env.run(["get", &address, &out, "--quiet"]).exits(0).text(), "");
        assert_eq!(
            crate::stage::contents(&env.path(&out)),
            crate::stage::contents(&env.path(&writer.source())),
            "what writer {} put in",
            writer.number
        );
    }
}

#[test]
fn on_a_folder_all_publish() {
    all_publish(&TestEnv::new(), "./store");
}

#[test]
fn on_a_bucket_all_publish() {
    let Some(server) = s3::server(s3::Server::Real) else { return };
    let mut env = TestEnv::new();
    server.reach_from(&mut env);
    all_publish(&env, &server.url("writers"));
}
