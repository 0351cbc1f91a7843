//! The `dagset` command.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "the one place, with cli/, that prints and reads the environment"
)]

fn main() {
    clap::Command::new("dagset")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Version control for machine-learning datasets")
        .arg_required_else_help(true)
        .get_matches();
}
