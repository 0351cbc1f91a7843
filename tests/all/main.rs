//! All integration tests in one binary: one link, and what they share is compiled once.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests lay out folders, read the build's own paths, and may panic"
)]

mod auditing;
mod begun_anew;
mod cache_bounds;
mod cache_exact;
mod cache_face;
mod cache_full_disk;
mod cache_links;
mod cache_once;
mod cache_power;
mod cache_rebuild;
mod cache_users;
mod cache_views;
mod carrying;
mod clashes;
mod cli_cost;
mod cli_errors;
mod cli_help;
mod cli_main_job;
mod cli_shapes;
mod cloud_cli;
mod cloud_faults;
mod cold_reads;
mod collectable;
mod committing;
mod conformance;
mod credentials;
mod cut_off;
mod damage;
mod damage_here;
mod damage_matrix;
mod datasets;
mod diffs;
mod doctoring;
#[allow(dead_code, reason = "a stage has more doors than a play uses")]
mod edits;
mod env;
mod faults;
mod faults_everywhere;
mod fetched_once;
mod first_switch;
#[allow(dead_code, reason = "a forge makes more than a test asks for")]
mod forge;
mod frozen;
mod full_disk;
mod full_disk_commands;
mod gc;
mod gc_bases;
mod gc_copies;
mod gc_model;
mod gc_sparse;
mod guards;
mod hints;
mod hostile;
mod hostile_files;
mod in_the_way;
mod indexes;
mod interrupts;
mod keep_rules;
mod keep_rules_beside;
mod kept_frames;
mod killed;
mod layers;
mod led_out;
mod life;
mod lineage;
mod listing;
mod locked;
mod long_history;
#[allow(dead_code, reason = "a machine has more doors than a test uses")]
mod machine;
mod many_writers;
mod merging;
mod merging_here;
mod merging_much;
mod merging_parts;
mod metadata;
mod mirror;
mod mirror_processes;
mod missing_parents;
mod naming;
mod nested;
mod newest_record;
mod no_credentials;
mod other_parents;
mod placing;
mod progress;
mod provenance;
mod proxy;
mod purge_faults;
mod purging;
mod races;
mod read_only;
mod reading;
mod recipes;
mod refreshing;
mod remotes;
mod repairing;
mod resume;
mod rewriting;
mod rights;
mod running;
#[allow(dead_code, reason = "a stage has more doors than a play uses")]
mod s3;
mod said;
mod scale;
mod service;
mod soak;
mod source;
#[allow(dead_code, reason = "a stage has more doors than a play uses")]
mod stage;
mod stalls;
mod state_machine;
mod steered;
mod store_check;
mod store_users;
mod strangers;
mod tags;
mod thin;
mod thinning;
mod transfer;
mod undoing;
mod unsaved;
mod users;
mod uses;
mod waiting;
mod warming;
mod why;
mod workspace;
mod world;
mod writes;
