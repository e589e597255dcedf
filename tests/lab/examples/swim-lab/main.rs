//! The membership lab: variants of this project's SWIM, and foca, in one simulated network.
//!
//! `cargo run --release -p hyperscale-lab --example swim-lab -- lifeguard` and so on; without arguments it says what
//! there is. Tables go to stdout as Markdown; a run depends on its seeds alone.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that prints tables")]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "figures of a laboratory")]
#![allow(clippy::disallowed_methods, reason = "the speed of runs is measured by the wall clock")]

mod detection;
mod faults;
mod foca_node;
mod jobs;
mod lifeguard;
mod options;
mod overloaded;
mod rows;
mod scale;
mod speed;
mod swim_node;
mod table;

use std::process::ExitCode;

use options::Options;

const HELP: &str = "swim-lab EXPERIMENT [OPTIONS]

  lifeguard   members that stand still again and again: false deaths (the paper's interval experiment)
  threshold   members that stand still once: how soon that is known (the paper's threshold experiment)
  detection   crashes in a quiet fleet: how soon they are known
  overloaded  members that are slow and say so: nobody may call them dead; then one crashes
  faults      loss, one-way links, many dead at once, a fleet that stands still, halves that merge
  scale       growth with the number of members, from a converged start
  cold        a fleet that joins through three seeds
  speed       node-seconds per millisecond of this machine
  replay      one run of lifeguard twice: the same figures, or an error

  --rows A,B    of swim probe suspicion buddy all aware foca foca-tuned
  --seeds N     runs of each kind (first seed: --seed S)
  --nodes A,B   sizes of the fleet
  --alpha N     alpha of all rows of ours (plain SWIM too, unless --swim-alpha says another)
  --full        the paper's whole grid
  --node-hours N  for overloaded
  --threads N   runs side by side
  --held        members' messages are held back while their deadlines go on, as in the paper
  --messages-first  woken members read their sockets before their clocks
  --check       check incarnations at every step, and say what was violated
";

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    let is_well = match options.experiment.as_str() {
        "lifeguard" => lifeguard::run(&options),
        "threshold" => lifeguard::run_threshold(&options),
        "detection" => detection::run(&options),
        "overloaded" => overloaded::run(&options),
        "faults" => faults::run(&options),
        "scale" => scale::run(&options),
        "cold" => scale::run_cold(&options),
        "speed" => speed::run(&options),
        "replay" => lifeguard::replay(&options),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
