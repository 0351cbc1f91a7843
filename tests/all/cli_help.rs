//! The help: it fits 80 columns, every command has it, and a change to it is seen.

use crate::env::TestEnv;

const COMMANDS: &[&[&str]] = &[
    &[],
    &["init"],
    &["status"],
    &["add"],
    &["rm"],
    &["mv"],
    &["commit"],
    &["restore"],
    &["switch"],
    &["clean"],
    &["ingest"],
    &["get"],
    &["warm"],
    &["run"],
    &["cache"],
    &["cache", "info"],
    &["cache", "list"],
    &["cache", "prune"],
    &["cache", "verify"],
    &["cache", "pin"],
    &["cache", "unpin"],
    &["cache", "init"],
    &["list"],
    &["ls"],
    &["tree"],
    &["cat"],
    &["stat"],
    &["log"],
    &["show"],
    &["diff"],
    &["why"],
    &["branch"],
    &["tag"],
    &["name"],
    &["publish"],
    &["meta"],
    &["meta", "get"],
    &["meta", "set"],
    &["meta", "unset"],
    &["meta", "list"],
    &["merge"],
    &["squash"],
    &["revert"],
    &["dataset"],
    &["dataset", "rename"],
    &["dataset", "delete"],
    &["dataset", "copy"],
    &["dataset", "use"],
    &["oplog"],
    &["undo"],
    &["audit"],
    &["resolve"],
    &["refresh"],
    &["use"],
    &["uses"],
    &["lineage"],
    &["lock"],
    &["clone"],
    &["push"],
    &["fetch"],
    &["pull"],
    &["remote"],
    &["remote", "add"],
    &["remote", "list"],
    &["remote", "remove"],
    &["remote", "check"],
    &["store"],
    &["store", "create"],
    &["store", "info"],
    &["store", "check"],
    &["verify"],
    &["doctor"],
    &["gc"],
    &["prune"],
    &["purge"],
    &["unpurge"],
    &["du"],
    &["config"],
    &["config", "get"],
    &["config", "set"],
    &["completions"],
    &["man"],
];

#[test]
fn help_fits_the_screen() {
    let env = TestEnv::new();
    for command in COMMANDS {
        let help = env.run([command, &["--help"][..]].concat()).text();
        assert_eq!(help, env.run([command, &["-h"][..]].concat()).text(), "one help, however it is asked for");
        // The first screen has a line for each command, in groups.
        let most = if command.is_empty() { 104 } else { 66 };
        assert!(help.lines().count() <= most, "{command:?} is long:\n{help}");
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{command:?}: {line}");
        }
    }
}

#[test]
fn the_first_screen() {
    insta::assert_snapshot!(TestEnv::new().run(["--help"]).text(), @r#"
    Version control for machine-learning datasets

    Usage: dagset [OPTIONS] <COMMAND>

    Start:
      init         Make a folder a workspace
      clone        Make a workspace of a dataset in another store
      ingest       Store a folder as a new version, without a workspace
      get          Write a version, or a part of it, into a folder

    Look:
      list         List the datasets of a store
      ls           List what is in a folder of a version
      tree         Draw a version as a tree
      cat          Print a file of a version
      stat         Show what is known of one path
      log          Show a version and its ancestors, newest first
      show         Show all that is known of a version
      diff         Show what differs between two versions, or in the workspace

    Work in a folder:
      status       Show what changed in the workspace since its version
      add          Stage changes for the next commit
      rm           Remove files from the folder and stage that
      mv           Rename a file or folder and stage that
      commit       Make a version of what is staged, or of all changes
      restore      Make paths what they are in the version, losing their changes
      switch       Make the folder another version
      clean        Remove files that no version holds and no .dagsetignore names

    History and names:
      branch       List, make, rename or delete branches
      tag          List, set, protect or delete tags
      name         Give a version a name
      publish      Freeze a version
      meta         Show or change what is said of a dataset or a version
      squash       Make one version of several that follow each other
      revert       Make a version that takes back what another one changed
      undo         Take back your newest change, or what a record of the log did

    Merge:
      merge        Make one version of several
      resolve      Solve a merge's conflicts by what one parent has
      refresh      Run a recorded merge again on what its parents are now
      why          Show which parent, rule and version gave a path its content

    Stores and remotes:
      store        Create a store, show what one holds, or check the way to it
      dataset      Rename, delete or copy a whole dataset
      remote       List, add, remove or check the stores to push to and pull from
      push         Send versions, and the refs that point at them, to a remote
      fetch        Bring a remote's versions and refs, leaving the folder as it is
      pull         Fetch, then move this branch and the folder on to the remote's

    Cache and training:
      warm         Fetch versions into the cache before jobs ask for them
      run          Run a command on versions, which are kept while it runs
      cache        Show and look after the cache of files on this machine

    Who used what:
      use          Record that a run, or the model it made, used a version
      uses         List the runs that used a version, or what a run used
      lineage      Draw what a version came from, what came of it, and who used it
      lock         Pin versions in dagset.lock, to be committed with a project

    Administration:
      oplog        Show what was done in a store, record by record, newest first
      audit        Tell who did what, when and from where, and check the log
      verify       Read a store or a version, and say what is damaged
      doctor       Say what is wrong, and which command mends it
      gc           Delete what no name, tag or branch leads to any more
      prune        Free the space of what a remote has
      purge        Remove content from all versions for good
      unpurge      Bring purged content back
      du           Say what a store or a version takes, and what could be freed
      config       Show or change your configuration
      completions  Print completions for a shell

    Global options:
          --json               Print one JSON document on stdout
      -q, --quiet              Print answers and errors only
      -v, --verbose...         Say more of what is done
      -C <DIR>                 Run as if started in DIR
          --store <STORE>      Where datasets are that are named without a store
          --author <WHO>       Who versions are by, as "Name <mail>"
          --no-provenance      Record no host, user, command or commit with versions
          --jobs <N>           Threads [default: the CPUs this process may use]
          --cache <DIR>        The cache to fill, and others to read: DIR,DIR:ro
          --limit-rate <RATE>  Bytes a second to and from stores in clouds, as 10M
          --offline            Ask no store in a cloud, use what is kept here
          --progress <FORM>    bar, lines, or json: a line a second on stderr
          --no-progress        Show no progress
      -h, --help               Print this help
      -V, --version            Print version

    Examples:
      dagset ingest ./photos --into ./store/photos --create --as 1.0
      dagset ls ./store/photos@1.0
      dagset get ./store/photos@1.0 ./copy

    An address is [STORE/]DATASET[@REF][:PATH]. A STORE begins with / ./ ../ ~/ or
    scheme://. A REF is a version name, tag, branch or id, and ~1 is its parent;
    none is the branch main.
    "#);
}

#[test]
fn the_help_of_ingest() {
    insta::assert_snapshot!(TestEnv::new().run(["ingest", "--help"]).text(), @r#"
    Store a folder as a new version, without a workspace

    Usage: dagset ingest [OPTIONS] --into <[STORE/]DATASET> <SRC>

    Arguments:
      <SRC>  A folder, a file, or a link to one

    Options:
          --into <[STORE/]DATASET>  The dataset that gets the version
          --create                  Create store and dataset if they aren't there
          --as <NAME>               Name the version, as 1.2.0
          --bump <PART>             Next number: major, minor, patch or auto
      -m, --message <TEXT>          Say what the version is about
          --meta <KEY=VALUE>        Add metadata; repeatable
          --tag <TAG>               Point a tag at it; repeatable
          --branch <BRANCH>         The branch; made if needed [default: main]
          --parent <REF>            A parent; repeatable [default: the newest]
          --expect <REF>            Fail (4) unless the branch is at this
          --exclude <GLOB>          Leave out, by gitignore's rules; repeatable
          --files-from <FILE>       Only paths in FILE, by line or NUL; - is stdin
          --skip-unreadable         Leave out what can't be read, and exit with 8
      -n, --dry-run                 Store nothing; show what would come of it

    Global options:
          --json               Print one JSON document on stdout
      -q, --quiet              Print answers and errors only
      -v, --verbose...         Say more of what is done
      -C <DIR>                 Run as if started in DIR
          --store <STORE>      Where datasets are that are named without a store
          --author <WHO>       Who versions are by, as "Name <mail>"
          --no-provenance      Record no host, user, command or commit with versions
          --jobs <N>           Threads [default: the CPUs this process may use]
          --cache <DIR>        The cache to fill, and others to read: DIR,DIR:ro
          --limit-rate <RATE>  Bytes a second to and from stores in clouds, as 10M
          --offline            Ask no store in a cloud, use what is kept here
          --progress <FORM>    bar, lines, or json: a line a second on stderr
          --no-progress        Show no progress
      -h, --help               Print this help

    Nothing is written but to the store. A folder that equals the newest version of
    the branch makes no new one, so the same command can be run again at any time.

    Examples:
      dagset ingest ./photos --into ./store/photos --create --as 1.0
      dagset ingest /data/run7 --into s3://bucket/sets/run --branch nightly --json
      find . -name '*.png' | dagset ingest . --into ./store/png --files-from -
    "#);
}
