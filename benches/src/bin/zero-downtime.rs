//! `cargo xtask prove zero-downtime [--redeploys 50] [--failing 20] [--runtime process|docker]`

use std::process::ExitCode;

use sh0::model::RuntimeKind;
use sh0_benches::rows::{self, zero_downtime};

fn main() -> ExitCode {
    let both = [RuntimeKind::Process, RuntimeKind::Docker];
    let wanted = rows::word("--runtime");
    let runtimes: Vec<_> =
        both.into_iter().filter(|kind| wanted.as_deref().is_none_or(|word| word == kind.as_str())).collect();
    let count = |name, otherwise| usize::try_from(rows::number(name, otherwise)).unwrap_or(usize::MAX);
    let (redeploys, failing) = (count("--redeploys", 50), count("--failing", 20));
    rows::main(async move { zero_downtime::prove(redeploys, failing, &runtimes).await })
}
