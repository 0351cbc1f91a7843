# Common tasks; `just` lists them. Where a script in scripts/ exists, it is the one definition of its command.

_default:
    @just --list

# Format all code.
fmt:
    cargo fmt

# Check format and lints.
lint:
    scripts/lint

# Run the tests; arguments select: just test layers
test *ARGS:
    scripts/test {{ARGS}}

# What must pass before a change lands.
ci:
    .ci/run

# Fuzz every parser, or one: just fuzz 300 record
fuzz SECONDS *TARGET:
    scripts/fuzz {{SECONDS}} {{TARGET}}

# dagset beside other tools, cp, b3sum and find: just peers --scale 0.1 /dev/shm
peers *ARGS:
    benches/peers/run {{ARGS}}

# dagset against what the machine can do, each piece of work with the most that it may cost: just limits --scale 0.1
limits *ARGS:
    benches/limits {{ARGS}}

# Run the benchmarks of the parts.
bench *ARGS:
    cargo bench --locked {{ARGS}}

# Make the fixture dataset again (seeded: the same bytes each time), in an environment of its own.
fixtures:
    python3 -m venv target/fixtures-venv
    target/fixtures-venv/bin/pip install --quiet pillow==13.0.0 pyarrow==26.0.1
    target/fixtures-venv/bin/python fixtures/make.py
    git status --short fixtures
