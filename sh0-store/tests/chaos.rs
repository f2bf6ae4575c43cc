//! Crash safety: every call of every backend goes wrong once, in every way, while an app is deployed, rolled back,
//! changed or destroyed. Afterwards everything must be as if nothing had happened, or as if it had not been asked for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "chaos/driver.rs"]
mod driver;
#[path = "chaos/scenario.rs"]
mod scenario;
#[path = "chaos/verdict.rs"]
mod verdict;

use driver::every_call;
use scenario::Scenario;

#[test]
fn a_first_deploy() {
    every_call(Scenario::FirstDeploy);
}

#[test]
fn a_second_deploy() {
    every_call(Scenario::SecondDeploy);
}

#[test]
fn a_failing_deploy() {
    every_call(Scenario::FailingDeploy);
}

#[test]
fn a_failing_release_command() {
    every_call(Scenario::FailingReleaseCommand);
}

#[test]
fn a_rollback() {
    every_call(Scenario::Rollback);
}

#[test]
fn a_change_of_the_environment() {
    every_call(Scenario::EnvChange);
}

#[test]
fn a_change_of_scale() {
    every_call(Scenario::Scale);
}

#[test]
fn a_stop() {
    every_call(Scenario::Stop);
}

#[test]
fn a_destroy() {
    every_call(Scenario::Destroy);
}
