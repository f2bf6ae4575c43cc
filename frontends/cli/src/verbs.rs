//! The verbs of the command line, as data over the operations: which words, which operation, which arguments fill which
//! fields of its input, how its output looks to a person. What they *mean* is said once, in the operation's declaration:
//! the help texts come from there.

use serde_json::Value;

use crate::render::{self, Cell, age, bytes, list, text, version, yes};

/// A verb of the command line.
pub(crate) struct Verb {
    /// What is typed: `apps`, `env set`.
    pub(crate) words: &'static str,
    /// The operation that it runs.
    pub(crate) op: &'static str,
    /// What it does, where the operation's own words would not do.
    pub(crate) about: Option<&'static str>,
    /// What fills the input.
    pub(crate) args: &'static [Arg],
    /// How the output looks.
    pub(crate) show: Show,
    /// Another operation with the same input, run when this flag is given.
    pub(crate) instead: Option<Instead>,
    /// A field that begins as the present value of the app's field of that name: the arguments change parts of it.
    pub(crate) edits: Option<&'static str>,
}

/// A flag that turns a verb to another operation.
pub(crate) struct Instead {
    /// The flag, and its letter.
    pub(crate) flag: (&'static str, Option<char>),
    /// Its help.
    pub(crate) help: &'static str,
    /// The other operation.
    pub(crate) op: &'static str,
    /// How its output looks.
    pub(crate) show: Show,
}

/// An argument, and the field of the input that it fills.
pub(crate) struct Arg {
    /// The long option, or the name of a positional one.
    pub(crate) name: &'static str,
    /// The field: a path with dots.
    pub(crate) field: &'static str,
    /// How its text is read.
    pub(crate) kind: Kind,
    pub(crate) short: Option<char>,
    pub(crate) positional: bool,
    /// What it is when neither it nor this other argument is given.
    pub(crate) default: Option<(&'static str, &'static str)>,
}

/// How the text of an argument is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// As it is.
    Text,
    /// A word; `-` and `_` are the same.
    Word,
    /// A whole number.
    Number,
    /// No text: it is given, or not.
    Flag,
    /// `NAME=VALUE`, any number of them; the value is taken literally.
    Pairs,
    /// `PROCESS=N`, any number of them.
    Counts,
    /// Any number of words.
    Words,
    /// A command with its arguments, after `--`.
    Command,
    /// A release: `v3` or `3`.
    Release,
    /// A time: `10m` ago, or RFC 3339.
    Since,
    /// The content of a file; `-` is standard input.
    File,
    /// A span of time such as `500ms` or `1m30s`; a field of milliseconds.
    Millis,
    /// A size such as `512M`; a field of bytes.
    Bytes,
    /// Cores such as `0.5`; a field of thousandths.
    Cpus,
}

/// How an output looks to a person. Data goes to standard output.
pub(crate) enum Show {
    /// A page of items, one a row.
    Table(&'static [Column]),
    /// One object, one field a row.
    Fields(&'static [Column]),
    /// Items of pages or of a stream, one a line.
    Each(fn(&Value) -> String),
    /// The whole.
    Whole(fn(&Value) -> String),
    /// A deployment, here or in the field `deployment`: it is followed to its end.
    Deployment,
    /// Nothing but a word of confirmation; `{field}` stands for a field of the input.
    Done(&'static str),
}

/// A column: its title, the path of its value, how that is written.
pub(crate) struct Column(pub(crate) &'static str, pub(crate) &'static str, pub(crate) Cell);

const fn verb(words: &'static str, op: &'static str, args: &'static [Arg], show: Show) -> Verb {
    Verb { words, op, about: None, args, show, instead: None, edits: None }
}

impl Verb {
    const fn about(self, about: &'static str) -> Verb {
        Verb { about: Some(about), ..self }
    }
    const fn instead(self, flag: &'static str, short: Option<char>, help: &'static str, op: &'static str, show: Show) -> Verb {
        Verb { instead: Some(Instead { flag: (flag, short), help, op, show }), ..self }
    }
    const fn edits(self, field: &'static str) -> Verb {
        Verb { edits: Some(field), ..self }
    }
}

const fn option(name: &'static str, field: &'static str, kind: Kind) -> Arg {
    Arg { name, field, kind, short: None, positional: false, default: None }
}

const fn place(name: &'static str, field: &'static str, kind: Kind) -> Arg {
    Arg { name, field, kind, short: None, positional: true, default: None }
}

const fn short(letter: char, arg: Arg) -> Arg {
    Arg { short: Some(letter), ..arg }
}

/// `-a`, or `SH0_APP`.
const APP: Arg = short('a', option("app", "app", Kind::Text));
const PROJECT: Arg = option("project", "project", Kind::Text);
const STAGE: Arg = option("stage", "stage", Kind::Flag);
const NAME: Arg = place("NAME", "name", Kind::Text);
const PROCESS: Arg = option("process", "process", Kind::Text);
const INSTANCE: Arg = option("instance", "instance", Kind::Text);
const COMMAND: Arg = place("COMMAND", "command", Kind::Command);
const DEPLOYMENT: Arg = place("DEPLOYMENT", "deployment", Kind::Text);
const PATH: Arg = option("path", "path", Kind::Text);

const APP_FIELDS: &[Column] = &[
    Column("name", "name", text),
    Column("id", "id", text),
    Column("runtime", "runtime", text),
    Column("state", "desired", text),
    Column("release", "live.number", version),
    Column("scale", "scale", list),
    Column("locked", "lock.reason", text),
    Column("urls", "urls", list),
    Column("created", "created_at", age),
];
const DEPLOYMENT_FIELDS: &[Column] = &[
    Column("id", "id", text),
    Column("kind", "kind.type", text),
    Column("state", "state", text),
    Column("step", "step", text),
    Column("release", "made.number", version),
    Column("error", "error.detail", text),
    Column("by", "created_by", text),
    Column("created", "created_at", age),
];

/// Every verb that is an operation and nothing more.
#[rustfmt::skip]
pub(crate) static VERBS: &[Verb] = &[
    verb("apps", "apps.list", &[PROJECT], Show::Table(&[
        Column("NAME", "name", text),
        Column("RUNTIME", "runtime", text),
        Column("STATE", "desired", text),
        Column("RELEASE", "live.number", version),
        Column("LOCKED", "lock", yes),
        Column("URL", "urls.0", text),
    ])),
    verb("apps create", "apps.create", &[NAME, PROJECT, option("port", "port", Kind::Number)], Show::Fields(APP_FIELDS)),
    verb("apps show", "apps.get", &[place("APP", "app", Kind::Text)], Show::Fields(APP_FIELDS)),
    verb("ps", "instances.list", &[APP], Show::Table(&[
        Column("INSTANCE", "name", text),
        Column("PROCESS", "process", text),
        Column("STATE", "state.type", text),
        Column("SERVING", "serving", yes),
        Column("RESTARTS", "restarts", text),
        Column("STARTED", "started_at", age),
    ]))
    .instead("usage", None, "Show what each instance uses now", "instances.usage", Show::Table(&[
        Column("INSTANCE", "instance", text),
        Column("CPU", "usage.cpu_micros", render::cpu_time),
        Column("MEMORY", "usage.memory", bytes),
        Column("PIDS", "usage.pids", text),
    ])),
    verb("logs", "logs.read", &[
        APP,
        Arg { default: Some(("100", "since")), ..short('n', option("tail", "tail", Kind::Number)) },
        option("since", "since", Kind::Since),
        PROCESS,
        INSTANCE,
        option("grep", "contains", Kind::Text),
    ], Show::Each(render::log_line))
    .about("Read the log of an app, oldest line first")
    .instead("follow", Some('f'), "Go on with every new line", "logs.follow", Show::Each(render::log_line)),
    verb("env list", "env.list", &[APP], Show::Each(render::plain))
        .instead("values", None, "Show the values too, as a .env file", "env.reveal", Show::Whole(render::dotenv)),
    verb("env set", "env.set", &[APP, place("NAME=VALUE", "vars", Kind::Pairs), STAGE], Show::Deployment),
    verb("env unset", "env.unset", &[APP, place("NAME", "names", Kind::Words), STAGE], Show::Deployment),
    verb("env import", "env.import", &[
        APP,
        place("FILE", "content", Kind::File),
        option("replace", "replace", Kind::Flag),
        STAGE,
    ], Show::Deployment),
    verb("releases", "releases.list", &[APP], Show::Table(&[
        Column("RELEASE", "number", version),
        Column("LIVE", "live", yes),
        Column("CREATED", "created_at", age),
        Column("BY", "created_by", text),
        Column("SOURCE", "source.type", text),
        Column("REVISION", "revision.id", render::short_id),
        Column("MESSAGE", "revision.message", text),
    ])),
    verb("rollback", "releases.rollback", &[APP, place("RELEASE", "to", Kind::Release)], Show::Deployment),
    verb("deployments", "deployments.list", &[APP], Show::Table(&[
        Column("DEPLOYMENT", "id", text),
        Column("KIND", "kind.type", text),
        Column("STATE", "state", text),
        Column("STEP", "step", text),
        Column("RELEASE", "made.number", version),
        Column("CREATED", "created_at", age),
        Column("BY", "created_by", text),
    ])),
    verb("deployments show", "deployments.get", &[APP, DEPLOYMENT], Show::Fields(DEPLOYMENT_FIELDS)),
    verb("deployments follow", "deployments.follow", &[APP, DEPLOYMENT], Show::Each(render::event_line)),
    verb("cancel", "deployments.cancel", &[APP, DEPLOYMENT], Show::Done("cancelling {deployment}")),
    verb("restart", "apps.restart", &[APP], Show::Deployment),
    verb("stop", "apps.stop", &[APP], Show::Done("stopped {app}; `sh0 start -a {app}` runs it again")),
    verb("start", "apps.start", &[APP], Show::Done("started {app}")).about("Run the live release again after `sh0 stop`"),
    verb("scale", "apps.scale", &[APP, place("PROCESS=N", "scale", Kind::Counts)], Show::Done("scaled {app}: {scale}")),
    verb("run", "instances.run", &[APP, short('e', option("env", "env", Kind::Pairs)), COMMAND], Show::Done("")),
    verb("exec", "instances.exec", &[APP, PROCESS, INSTANCE, COMMAND], Show::Done("")),
    verb("settings", "apps.update", &[
        APP,
        option("root", "settings.root", Kind::Text),
        option("start-command", "settings.start_command", Kind::Text),
        option("release-command", "settings.release_command", Kind::Text),
        option("port", "settings.port", Kind::Number),
        option("health-path", "settings.health.path", Kind::Text),
        option("health-interval", "settings.health.interval", Kind::Millis),
        option("health-timeout", "settings.health.timeout", Kind::Millis),
        option("health-successes", "settings.health.successes", Kind::Number),
        option("start-period", "settings.health.start_period", Kind::Millis),
        option("strategy", "settings.strategy", Kind::Word),
        option("drain-timeout", "settings.drain_timeout", Kind::Millis),
        option("stop-grace", "settings.stop_grace", Kind::Millis),
        option("memory", "settings.resources.memory", Kind::Bytes),
        option("cpus", "settings.resources.cpus", Kind::Cpus),
        option("pids", "settings.resources.pids", Kind::Number),
    ], Show::Whole(render::settings))
    .about("Show or change the settings of an app; an empty value takes one away")
    .edits("settings"),
    verb("volumes", "volumes.list", &[APP], Show::Table(&[
        Column("NAME", "name", text),
        Column("MOUNTED", "mounted", yes),
        Column("USED", "used", bytes),
        Column("LOCATION", "location", text),
    ])),
    verb("volumes add", "volumes.add", &[APP, NAME, place("PATH", "path", Kind::Text)],
        Show::Done("{name} is mounted from the next deployment on")),
    verb("volumes remove", "volumes.remove", &[APP, place("NAME", "volume", Kind::Text)], Show::Done("removed {volume}")),
    verb("domains", "domains.list", &[APP], Show::Table(&[
        Column("HOST", "host", text),
        Column("PATH", "path", text),
        Column("CREATED", "created_at", age),
    ])),
    verb("domains add", "domains.add", &[APP, place("HOST", "host", Kind::Text), PATH], Show::Done("{host} leads to {app}")),
    verb("domains remove", "domains.remove", &[APP, place("HOST", "host", Kind::Text), PATH], Show::Done("removed {host}")),
    verb("lock", "apps.lock", &[APP, option("reason", "reason", Kind::Text)], Show::Done("locked {app}"))
        .about("Refuse deployments until `sh0 unlock`"),
    verb("unlock", "apps.unlock", &[APP], Show::Done("unlocked {app}")),
    verb("destroy", "apps.delete", &[place("APP", "app", Kind::Text), option("keep-volumes", "keep_volumes", Kind::Flag)],
        Show::Done("destroyed {app}")),
    verb("projects", "projects.list", &[], Show::Table(&[Column("NAME", "name", text), Column("CREATED", "created_at", age)])),
    verb("projects create", "projects.create", &[NAME], Show::Done("created {name}")),
    verb("tokens", "tokens.list", &[], Show::Table(&[
        Column("NAME", "name", text),
        Column("ROLE", "role", text),
        Column("EXPIRES", "expires_at", text),
        Column("CREATED", "created_at", age),
    ])),
    verb("tokens create", "tokens.create", &[
        NAME,
        option("role", "role", Kind::Word),
        option("days", "days", Kind::Number),
    ], Show::Whole(render::new_token)),
    verb("tokens revoke", "tokens.revoke", &[place("NAME", "token", Kind::Text)], Show::Done("revoked {token}")),
    verb("audit", "audit.list", &[], Show::Table(&[
        Column("WHEN", "at", text),
        Column("WHO", "actor", text),
        Column("OPERATION", "operation", text),
        Column("INPUT", "input", text),
    ])),
    verb("status", "platform.status", &[], Show::Fields(&[
        Column("version", "version", text),
        Column("platform", "platform", text),
        Column("pid", "pid", text),
        Column("started", "started_at", age),
        Column("data", "data", text),
        Column("listens on", "listen", list),
        Column("apps", "apps", text),
        Column("deployments", "deployments", text),
        Column("parts", "parts", render::parts),
    ])),
];

/// What `doctor` prints: by hand, because it must work where no server runs.
pub(crate) const DOCTOR: Show = Show::Whole(render::doctor);
