//! Every help text, as people read it.
#![allow(clippy::unwrap_used)]

fn collect(command: &mut clap::Command, path: &str, out: &mut String) {
    command.build();
    out.push_str(&format!("==== {path}\n{}\n", command.render_long_help()));
    let names: Vec<String> =
        command.get_subcommands().map(|sub| sub.get_name().to_owned()).filter(|name| name != "help").collect();
    for name in names {
        let sub = command.find_subcommand_mut(&name).unwrap();
        collect(sub, &format!("{path} {name}"), out);
    }
}

#[test]
fn help_of_every_verb() {
    let mut text = String::new();
    collect(&mut sh0_cli::command().term_width(120), "sh0", &mut text);
    let text: Vec<&str> = text.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(text.join("\n"));
}
