#include "cli/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace furnace::cli {
namespace {

/// What is written from the table of commands: lines of "case" for bash.
struct Cases {
  std::string commands;  ///< "'vm'|'vm start'|..."
  std::string vms;       ///< those of them which take a VM
  std::string words;     ///< "'vm start') words='--kernel --memory ...';;" for every command
  std::string values;    ///< "'vm start --accel') words='auto kvm tcg ';;" for every option with a fixed list
};

void add_pattern(std::string& patterns, const std::string& path) {
  patterns += fmt::format("{}'{}'", patterns.empty() ? "" : "|", path);
}

/// The words that an option may have; empty: any. CLI11 names them in its type: "TEXT:{auto,kvm,tcg}".
std::string values_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t open = type.find(":{");
  const size_t close = type.find('}', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos) return {};
  std::string words = type.substr(open + 2, close - open - 2) + " ";
  std::replace(words.begin(), words.end(), ',', ' ');
  return words;
}

/// `of_all`: options that each command takes.
void add_cases(const CLI::App& app, const std::string& path, const std::string& of_all, Cases& cases) {
  std::string words = path.empty() ? "" : of_all;
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string inner = path.empty() ? child->get_name() : path + " " + child->get_name();
    words += child->get_name() + " ";
    add_pattern(cases.commands, inner);
    add_cases(*child, inner, of_all, cases);
  }
  for (const CLI::Option* option : app.get_options()) {
    const std::string values = values_of(*option);
    if (option->get_positional()) {
      words += values;
      const std::string name = option->get_name(true);
      if (name == "VM" || name == "SOURCE") add_pattern(cases.vms, path);
    }
    for (const std::string& name : option->get_lnames()) {
      words += "--" + name + " ";
      if (!values.empty()) cases.values += fmt::format("    '{} --{}') words='{}';;\n", path, name, values);
    }
  }
  cases.words += fmt::format("    '{}') words='{}';;\n", path, words);
}

/// Options of the program itself, which its commands take as well.
std::string options_of_all(const CLI::App& app) {
  std::string words;
  for (const CLI::Option* option : app.get_options()) {
    if (option == app.get_help_ptr() || option == app.get_version_ptr()) continue;
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  }
  return words;
}

std::string completion_script(const CLI::App& app, const std::string& shell) {
  Cases cases;
  add_cases(app, "", options_of_all(app), cases);
  const std::string bash =
      fmt::format(R"bash(_furnace() {{
  local words='' path='' word name current=${{COMP_WORDS[COMP_CWORD]}}
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case ${{path:+$path }}$word in {commands}) path="${{path:+$path }}$word";; esac
  done
  COMPREPLY=()
  case "$path ${{COMP_WORDS[COMP_CWORD-1]}}" in
{values}  esac
  if [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    return
  fi
  if [[ $current != -* ]]; then
    case $path in {vms})
      # Others choose the names of VMs; compgen -W would run the commands in them.
      while IFS= read -r name; do
        [[ $name == "$current"* ]] && COMPREPLY+=("$(printf %q "$name")")
      done < <(furnace vm list --names 2>/dev/null);;
    esac
  fi
  [[ ${{#COMPREPLY[@]}} -gt 0 ]] && return
  case $path in
{words}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _furnace furnace
)bash",
                  fmt::arg("commands", cases.commands), fmt::arg("values", cases.values),
                  fmt::arg("vms", cases.vms), fmt::arg("words", cases.words));
  if (shell == "bash") return bash;
  return "#compdef furnace\nautoload -U +X bashcompinit && bashcompinit\n" + bash;
}

}  // namespace

void add_completion(Commands& commands) {
  auto* completion =
      commands.add("completion", "Print completion for a shell: source <(furnace completion bash)");
  const auto shell = std::make_shared<std::string>();
  completion->add_option("SHELL", *shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
  commands.on(completion, [&commands, shell] {
    std::fputs(completion_script(commands.root(), *shell).c_str(), stdout);
    return Status();
  });
}

}  // namespace furnace::cli
