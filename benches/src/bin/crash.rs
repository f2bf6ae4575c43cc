//! `cargo xtask prove crash [--kills 25] [--cancels 3] [--seed N] [--runtime process|docker]`

use std::process::ExitCode;

use sh0::model::RuntimeKind;
use sh0_benches::rows::{self, crash};

fn main() -> ExitCode {
    let both = [RuntimeKind::Process, RuntimeKind::Docker];
    let wanted = rows::word("--runtime");
    let runtimes: Vec<_> =
        both.into_iter().filter(|kind| wanted.as_deref().is_none_or(|word| word == kind.as_str())).collect();
    let count = |name, otherwise| usize::try_from(rows::number(name, otherwise)).unwrap_or(usize::MAX);
    let (kills, cancels) = (count("--kills", 25), count("--cancels", 3));
    let seed = rows::number("--seed", u64::from(std::process::id()));
    rows::main(async move { crash::prove(kills, cancels, seed, &runtimes).await })
}
