//! The `dagset` command: what is typed in, what comes out, and the exit code.

#![allow(
    clippy::disallowed_methods,
    reason = "the one place, with cli/, that reads the environment; files it writes through base::files"
)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
