#include "cli/completion.h"

#include <fmt/format.h>

#include <cstdio>

namespace furnace::cli {
namespace {

std::string long_options(const CLI::App& app, bool of_all = false) {
  std::string words;
  for (const CLI::Option* option : app.get_options()) {
    if (of_all && (option == app.get_help_ptr() || option == app.get_version_ptr())) continue;
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  }
  return words;
}

/// "vm start) words='--kernel --memory ...';;" for every command. `of_all`: options that each of them takes.
void add_cases(const CLI::App& app, const std::string& path, const std::string& of_all, std::string& cases) {
  std::string words = path.empty() ? "" : of_all;
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
    words += child->get_name() + " ";
    add_cases(*child, path.empty() ? child->get_name() : path + " " + child->get_name(), of_all, cases);
  }
  words += long_options(app);
  cases += fmt::format("    '{}') words='{}';;\n", path, words);
}

std::string completion_script(const CLI::App& app, const std::string& shell) {
  std::string cases;
  add_cases(app, "", long_options(app, true), cases);
  const std::string bash = fmt::format(
      R"bash(_furnace() {{
  local words='' path='' word name current=${{COMP_WORDS[COMP_CWORD]}}
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case $word in -*) ;; *) path="${{path:+$path }}$word";; esac
  done
  COMPREPLY=()
  case $current/$path in -*) ;; */'vm stop'*|*/'vm console'*|*/'ps'*|*/'vmi'*)
    # Others choose the names of VMs; compgen -W would run the commands in them.
    while IFS= read -r name; do
      [[ $name == "$current"* ]] && COMPREPLY+=("$(printf %q "$name")")
    done < <(furnace vm list --names 2>/dev/null);;
  esac
  [[ ${{#COMPREPLY[@]}} -gt 0 ]] && return
  case $path in
{}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _furnace furnace
)bash",
      cases);
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
