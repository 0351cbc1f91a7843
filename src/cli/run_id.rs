//! The run that this process is part of, as the systems that start jobs and track experiments tell it.

use dagset::base::{Error, Result};
use dagset::engine::Run;

use super::settings::{text, without_secrets};
use super::user_config::UserConfig;

/// Who names runs, the most telling first: an experiment's id says more than that of the job which carries it out.
const SYSTEMS: [(&str, &[&str]); 6] = [
    ("mlflow", &["MLFLOW_RUN_ID"]),
    ("wandb", &["WANDB_RUN_ID"]),
    ("clearml", &["CLEARML_TASK_ID", "TRAINS_TASK_ID"]),
    ("slurm", &["SLURM_JOB_ID"]),
    ("gitlab", &["CI_JOB_URL", "CI_JOB_ID"]),
    ("github", &["GITHUB_RUN_ID"]),
];

/// The run of the environment; none where `DAGSET_RECORD_USES=0`, or `record_uses` of the configuration, wants none recorded.
pub fn of_environment() -> Result<Option<Run>> {
    let Some(run) = run_in(text) else { return Ok(None) };
    let (what, wish) = match text("DAGSET_RECORD_USES") {
        Some(wish) => ("DAGSET_RECORD_USES", Some(wish)),
        None => ("record_uses of the configuration", UserConfig::load()?.get("record_uses")),
    };
    Ok(wish.map_or(Ok(true), |wish| switch(what, &wish))?.then_some(run))
}

/// What names the run of the environment where an ID is given.
const AUTO: &str = "auto";

/// The run that `--run ID` means; `auto` is that of the environment, also where that isn't recorded by itself.
///
/// Errors: usage, for `auto` where the environment names none.
pub fn meant(id: &str) -> Result<Run> {
    match id {
        AUTO => run_in(text).ok_or_else(|| {
            Error::usage("--run auto is the run that the environment names, and it names none")
                .hint("give the run's own ID")
        }),
        id => Ok(Run::named(id)),
    }
}

/// Parses a switch; `what` names it.
pub fn switch(what: &str, wish: &str) -> Result<bool> {
    match wish {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Error::usage(format!("{what} is true or false, not {wish:?}"))),
    }
}

fn run_in(variable: impl Fn(&str) -> Option<String>) -> Option<Run> {
    let (system, id) =
        SYSTEMS.iter().find_map(|(system, names)| Some((*system, names.iter().find_map(|name| variable(name))?)))?;
    let url = match system {
        "gitlab" => variable("CI_JOB_URL"),
        "github" => github_url(&id, &variable),
        _ => None,
    };
    let (id, url) = (without_secrets(&id), url.map(|url| without_secrets(&url)));
    // A number of Slurm's is one of its cluster.
    let cluster = variable("SLURM_CLUSTER_NAME").filter(|_| system == "slurm");
    let system = cluster.map_or_else(|| system.to_owned(), |cluster| format!("{system}:{cluster}"));
    Some(Run { id, system: Some(system), url })
}

/// Where GitHub shows the run.
pub fn github_url(id: &str, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    Some(format!("{}/{}/actions/runs/{id}", variable("GITHUB_SERVER_URL")?, variable("GITHUB_REPOSITORY")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Option<(String, String, Option<String>)> {
        let value = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        run_in(value).map(|run| (run.id, run.system.unwrap_or_default(), run.url))
    }

    #[test]
    fn each_system_is_known_and_an_experiment_says_more_than_its_job() {
        let run = |id: &str, system: &str, url: Option<&str>| Some((id.into(), system.into(), url.map(str::to_owned)));
        assert_eq!(found(&[("HOME", "/root"), ("CI", "true")]), None);
        let gitlab = ("CI_JOB_URL", "https://git.example/a/b/-/jobs/7");
        assert_eq!(found(&[gitlab, ("CI_JOB_ID", "7")]), run(gitlab.1, "gitlab", Some(gitlab.1)));
        let github = [("GITHUB_RUN_ID", "9"), ("GITHUB_SERVER_URL", "https://x.example"), ("GITHUB_REPOSITORY", "a/b")];
        assert_eq!(found(&github), run("9", "github", Some("https://x.example/a/b/actions/runs/9")));
        assert_eq!(found(&[("SLURM_JOB_ID", "12"), gitlab]), run("12", "slurm", None));
        assert_eq!(found(&[("SLURM_JOB_ID", "12"), ("SLURM_CLUSTER_NAME", "big")]), run("12", "slurm:big", None));
        assert_eq!(found(&[("SLURM_JOB_ID", "12"), ("MLFLOW_RUN_ID", "ab")]), run("ab", "mlflow", None));
        assert_eq!(found(&[("WANDB_RUN_ID", "cd")]), run("cd", "wandb", None));
        assert_eq!(found(&[("TRAINS_TASK_ID", "ef")]), run("ef", "clearml", None));
    }
}
