#include "cli/completion.h"

#include <fmt/format.h>

namespace furnace::cli {
namespace {

/// "vm start) words='--kernel --memory ...';;" for every command.
void add_cases(const CLI::App& app, const std::string& path, std::string& cases) {
  std::string words;
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
    words += child->get_name() + " ";
    add_cases(*child, path.empty() ? child->get_name() : path + " " + child->get_name(), cases);
  }
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  cases += fmt::format("    '{}') words='{}';;\n", path, words);
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  std::string cases;
  add_cases(app, "", cases);
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

}  // namespace furnace::cli
