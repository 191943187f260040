// furnace: the front door. Commands of its own, and furnace-X for the partitions.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>

#include "base/log.h"
#include "base/printable.h"
#include "base/signals.h"
#include "cli/calls.h"
#include "cli/cgroup.h"
#include "cli/completion.h"
#include "cli/doctor.h"
#include "cli/keys.h"
#include "cli/policy.h"
#include "cli/profile.h"
#include "cli/ps.h"
#include "cli/run.h"
#include "cli/setup.h"
#include "cli/tail.h"
#include "cli/top.h"
#include "cli/vm/snapshot.h"
#include "cli/vm/test_vm.h"
#include "command_line/bounded_option.h"
#include "command_line/program.h"
#include "launch/launch.h"
#include "sandbox/rootfs.h"

namespace {

using namespace furnace;

/// Commands that are executables of their own, outside of partitions.
struct Executable {
  const char* name;
  const char* summary;
};
constexpr std::array kExecutables = {
    Executable{"proxy", "Proxy between FAC partitions and backends"},
    Executable{"backend", "Backend: runs a tenant's backend, in Python or C++"},
    Executable{"inspect", "Run a program under a system call policy"},
};

/// Becomes furnace-NAME, which lies beside this executable, or on the PATH. Returns only if that fails.
int become(const char* name, char** arguments) {
  const std::string program = fmt::format("furnace-{}", name);
  std::error_code ignored;
  const auto beside = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / program;
  std::string shown = fmt::format("furnace {}", name);
  arguments[0] = shown.data();
  ::execv(beside.c_str(), arguments);
  ::execvp(program.c_str(), arguments);
  std::fprintf(stderr, "furnace: %s: %s\n", program.c_str(), std::strerror(errno));
  return 1;
}

Status list(bool names_only) {
  const auto vms = cli::list_vms();
  if (names_only) {
    for (const auto& vm : vms) fmt::print("{}\n", printable(vm.name));
    return {};
  }
  if (vms.empty()) {
    fmt::print("no VM runs here; start one: furnace vm start NAME\n");
    return {};
  }
  fmt::print("{:<24} {:>8}  {:<8} {}\n", "NAME", "PID", "STATE", "STARTED BY");
  for (const auto& vm : vms)
    fmt::print("{} {:>8}  {:<8} {}\n", padded(vm.name, 24), vm.pid, vm.state, vm.ours ? "furnace" : "others");
  return {};
}

std::vector<std::string> root_names() {
  std::vector<std::string> names;
  for (const sandbox::RootKind* kind : launch::kRootKinds) names.emplace_back(kind->name);
  return names;
}

/// The command line, and what was chosen on it.
class Furnace {
 public:
  Furnace()
      : program_("furnace",
                 "Virtual machine introspection for tenants: run apps that watch a VM from outside") {
    CLI::App& app = program_.options();
    app.set_version_flag("--version", FURNACE_VERSION);
    app.require_subcommand(1);
    app.failure_message(CLI::FailureMessage::simple);
    add_vm(app);
    add_ps(app);
    for (const launch::Kind* kind : launch::kinds()) app.add_subcommand(kind->name, kind->summary);
    for (const Executable& each : kExecutables) app.add_subcommand(each.name, each.summary);
    add_profile(app);
    add_policy(app);
    add_cgroup(app);
    add_rootfs(app);
    add_top(app);
    add_setup(app);
    add_run(app);
    auto* calls = app.add_subcommand("calls", "List the calls of the VMI socket");
    calls->add_flag("--markdown", markdown_, "Print docs/calls.md");
    on(calls, [this] {
      std::fputs((markdown_ ? cli::calls_markdown() : cli::calls_text()).c_str(), stdout);
      return Status();
    });
    add_keys(app);
    add_tail(app);
    on(app.add_subcommand("doctor", "Report what this host can and can't do, and what to install"), [] {
      if (!cli::print_findings(cli::examine_host()))
        return Status(fail(Errc::NotFound, "something is missing: see above"));
      return Status();
    });
    auto* completion =
        app.add_subcommand("completion", "Print completion for a shell: source <(furnace completion bash)");
    completion->add_option("SHELL", shell_, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
    on(completion, [this, &app] {
      std::fputs(cli::completion_script(app, shell_).c_str(), stdout);
      return Status();
    });
  }

  int run(int argc, char** argv) {
    const int status = program_.run(argc, argv, [this] {
      exit_at_signals();
      return action_();
    });
    return status != 0 ? status : exit_code_;
  }

 private:
  /// Most commands' output is their answer, which a log would disturb.
  void on(CLI::App* command, std::function<Status()> action, bool quiet = true) {
    command->callback([this, action = std::move(action), quiet] {
      action_ = action;
      program_.be_quiet(quiet);
    });
  }

  void add_vm(CLI::App& app) {
    auto* vm = app.add_subcommand("vm", "Test VMs: a real Linux guest under QEMU");
    vm->require_subcommand(1);
    auto* start = vm->add_subcommand("start", "Start a test VM and wait until it is up");
    start->add_option("NAME", vm_.name, "Its name")->required();
    start->add_option("--kernel", vm_.kernel,
                      "Kernel image (vmlinuz); default: Debian's cloud kernel, fetched and cached");
    start->add_option("--kernel-package", vm_.kernel_package, "Debian kernel package to fetch");
    start->add_option("--initrd", vm_.initrd, "Initial RAM file system; default: a small busybox system");
    start->add_option("--memory", vm_.memory_mb, "Memory in MB")
        ->check(within({64, 1 << 20, "MB"}))
        ->capture_default_str();
    start->add_option("--cpus", vm_.cpus, "Number of vCPUs")->check(within({1, 64}))->capture_default_str();
    start->add_option("--accel", vm_.accel, "auto, kvm or tcg")
        ->check(CLI::IsMember({"auto", "kvm", "tcg"}))
        ->capture_default_str();
    start->add_option("--append", vm_.append, "Text to append to the kernel's command line");
    start->add_option("--wait", vm_.wait_seconds, "Seconds to wait until the guest is up; 0: don't wait")
        ->check(within({0, 86'400, "s"}))
        ->capture_default_str();
    on(start, [this] { return cli::start_vm(vm_); });
    auto* stop = vm->add_subcommand("stop", "Stop a test VM and remove its files");
    stop->add_option("NAME", vm_.name, "Its name")->required();
    on(stop, [this] { return cli::stop_vm(vm_.name); });
    add_snapshot(*vm);
    auto* list_command = vm->add_subcommand("list", "List the VMs on this host");
    list_command->add_flag("--names", names_only_, "Only names, one per line");
    on(list_command, [this] { return list(names_only_); });
    auto* console =
        vm->add_subcommand("console", "Connect to a test VM's serial console (Ctrl-] disconnects)");
    console->add_option("NAME", vm_.name, "Its name")->required();
    on(console, [this] { return cli::attach_console(vm_.name); });
  }

  void add_cgroup(CLI::App& app) {
    auto* cgroup = app.add_subcommand("cgroup", "Limit the CPU, memory and processes of partitions");
    cgroup->require_subcommand(1);
    const auto with_name = [this](CLI::App* command) {
      return command->add_option("NAME", cgroup_.name, "Its name");
    };
    auto* make = cgroup->add_subcommand("make", "Make a cgroup, or change its limits");
    with_name(make)->required();
    make->add_option("--cpu", cgroup_.limits.cpu_percent, "Percent of one CPU")
        ->check(within(bounds::kCpuPercent))
        ->capture_default_str();
    make->add_option("--processes", cgroup_.limits.processes, "Processes and threads")
        ->check(within(bounds::kProcesses))
        ->capture_default_str();
    make->add_option("--memory", cgroup_.limits.memory_mb, "MB of memory")
        ->check(within(bounds::kMemoryMb))
        ->capture_default_str();
    on(make, [this] { return cli::make_cgroup(cgroup_); });
    auto* remove = cgroup->add_subcommand("remove", "Kill the processes in a cgroup, and remove it");
    with_name(remove)->required();
    on(remove, [this] { return cli::remove_cgroup(cgroup_); });
    auto* show =
        cgroup->add_subcommand("show", "Show how much of each limit is used; without a name: of all cgroups");
    with_name(show);
    on(show, [this] { return cli::show_cgroups(cgroup_); });
    auto* exec = cgroup->add_subcommand("exec", "Run a program in a cgroup");
    with_name(exec)->required();
    exec->add_option("PROGRAM", cgroup_.command, "The program and its arguments, after --")->required();
    on(exec, [this] { return cli::exec_in_cgroup(cgroup_); });
  }

  void add_rootfs(CLI::App& app) {
    auto* rootfs =
        app.add_subcommand("rootfs", "Read-only roots of partitions, made from the host's packages");
    rootfs->require_subcommand(1);
    auto* build = rootfs->add_subcommand("build", "Build a root; print the hash of its manifest");
    build
        ->add_option("KIND", root_kind_,
                     "app, fac, vmi, reader (furnace ps and others), or forensic (furnace app --forensic)")
        ->required()
        ->check(CLI::IsMember(root_names()));
    build->add_option("-o,--output", directory_,
                      "Directory to write; default: the one in $FURNACE_DIR that partitions use");
    on(build, [this]() -> Status {
      FURNACE_TRY(const Fd stop, stop_signals());  // what is half built is removed
      const auto chosen = std::find_if(launch::kRootKinds.begin(), launch::kRootKinds.end(),
                                       [this](const auto* each) { return each->name == root_kind_; });
      const sandbox::RootKind& kind = **chosen;  // checked by the option
      FURNACE_TRY(const std::string hash,
                  sandbox::build_root(kind, directory_.empty() ? sandbox::operators_root(kind)
                                                               : std::filesystem::path(directory_)));
      fmt::print("{}\n", hash);
      return {};
    });
    auto* verify =
        rootfs->add_subcommand("verify", "Compare a root with its manifest; exit with 1 if it differs");
    verify->add_option("DIR", directory_, "The root")->required();
    on(verify, [this]() -> Status {
      FURNACE_TRY(const sandbox::Verified verified, sandbox::verify_root(directory_));
      for (const std::string& difference : verified.differences) fmt::print("{}\n", printable(difference));
      exit_code_ = verified.differences.empty() ? 0 : 1;
      fmt::print("{} files, {} differences, manifest {}\n", verified.files, verified.differences.size(),
                 verified.hash);
      return {};
    });
  }

  void add_policy(CLI::App& app) {
    auto* policy = app.add_subcommand("policy", "Make, check, compare and explain system call policies");
    policy->require_subcommand(1);
    auto* learn = policy->add_subcommand(
        "learn", "Run a program with everything allowed, and write the policy that it needs");
    learn->add_option("PROGRAM", policy_.command, "The program and its arguments, after --")->required();
    learn->add_option("-o,--output", policy_.output, "File to write; default: print when the program exits");
    learn
        ->add_option("--files", policy_.files,
                     "Number of files used from one directory before the whole directory is allowed")
        ->check(within({1, 1'000'000}))
        ->capture_default_str();
    learn->positionals_at_end();
    on(learn, [this] { return cli::learn_policy(policy_, exit_code_); });
    const auto with_file = [this](CLI::App* command) {
      command->add_option("FILE", policy_.file, "A policy")->required();
    };
    auto* check = policy->add_subcommand("check", "Report errors in a policy, and what it allows in total");
    with_file(check);
    on(check, [this] { return cli::check_policy(policy_); });
    auto* diff = policy->add_subcommand("diff", "Compare what two policies mean; exit with 1 if they differ");
    with_file(diff);
    diff->add_option("OTHER", policy_.other, "Another policy")->required();
    on(diff, [this] { return cli::compare_policies(policy_, exit_code_); });
    auto* explain =
        policy->add_subcommand("explain", "Show what a policy says about a system call, and by which rules");
    explain->add_option("CALL", policy_.call, "Name of the system call")->required();
    with_file(explain);
    on(explain, [this] { return cli::explain_policy(policy_); });
  }

  void add_setup(CLI::App& app) {
    auto* setup = app.add_subcommand(
        "setup", "Set up this host: the account, the directories and the roots of partitions");
    setup->add_flag("--check", setup_.check,
                    "Change nothing; report what is missing, and exit with 1 if something is");
    on(setup, [this] { return cli::set_up(setup_); });
  }

  void add_run(CLI::App& app) {
    auto* command = app.add_subcommand("run", "Run all partitions of an app, and restart those that fail");
    command->add_option("APP", run_.app, "The app's id")->required();
    command->add_option("--manifest", run_.manifest,
                        "The app's manifest; default: furnace.toml in the app's directory");
    command->add_flag(
        "--check", run_.check,
        "Start nothing: report all problems and exit with 1, or print the commands that would run");
    command->footer(cli::manifest_defaults());
    on(
        command, [this] { return cli::run_manifest(run_, exit_code_); }, false);
  }

  void add_top(CLI::App& app) {
    auto* top = app.add_subcommand(
        "top", "Show what partitions use and do, or the apps of one VM, every two seconds");
    top->add_option("SOCKET", top_.socket,
                    "The socket given to `furnace vmi --metrics`: shows the apps of that VM; default: all "
                    "partitions on this host");
    top->add_option("--interval", top_.interval, "Seconds between two updates")
        ->check(seconds_within(0.1, 3600))
        ->capture_default_str();
    top->add_flag("--once", top_.once, "Print the totals since the start once, and exit");
    top->add_option(
        "--serve", top_.serve,
        "Show the counters of all partitions as Prometheus text, at ADDRESS:PORT or a socket's path");
    on(top, [this] { return cli::show_top(top_); });
  }

  static void add_unconfined(CLI::App* command, bool& unconfined) {
    command->add_flag("--unconfined", unconfined,
                      "Run what looks into the guest without any wall, with your rights");
  }

  void add_snapshot(CLI::App& vm) {
    auto* snapshot =
        vm.add_subcommand("snapshot", "Write a VM's memory to a file; the VM is paused while it is copied");
    snapshot->add_option("NAME", snapshot_.vm, "The VM's name")->required();
    snapshot->add_option("FILE", snapshot_.file, "File to write; it appears when it is complete")->required();
    snapshot->add_option("--format", snapshot_.format, "elf (ELF core, with registers) or raw")
        ->check(CLI::IsMember({"elf", "raw"}))
        ->capture_default_str();
    snapshot->add_flag("--zstd", snapshot_.zstd, "Compress, in a form that Furnace reads without unpacking");
    add_unconfined(snapshot, snapshot_.unconfined);
    on(snapshot, [this] { return cli::snapshot_vm(snapshot_); });
  }

  void add_profile(CLI::App& app) {
    auto* profile =
        app.add_subcommand("profile", "Symbols and types of a kernel, for Furnace and other tools");
    profile->require_subcommand(1);
    const auto source = [this](CLI::App* command) {
      command->add_option("SOURCE", profile_.source, "A profile, a snapshot, or the name of a VM")
          ->required();
      command->add_option("--btf", profile_.types, "Types for a System.map: a BTF file or a vmlinux");
    };
    auto* show = profile->add_subcommand("show", "Show a summary, or addresses, structures and offsets");
    source(show);
    show->add_option("THING", profile_.things, "A symbol, a structure, or structure.member");
    add_unconfined(show, profile_.unconfined);
    on(show, [this] { return cli::show_profile(profile_); });
    auto* find = profile->add_subcommand("find", "Find the kernel in a VM's memory, and its address");
    find->add_option("SOURCE", profile_.source, "The name of a VM, or a snapshot")->required();
    add_unconfined(find, profile_.unconfined);
    on(find, [this] { return cli::find_profile(profile_); });
    auto* write = profile->add_subcommand("export", "Write a profile for other tools");
    source(write);
    write
        ->add_option("--format", profile_.format,
                     "isf (Volatility 3), rekall (DRAKVUF, LibVMI), system-map, btf, or furnace")
        ->check(CLI::IsMember({"isf", "rekall", "system-map", "btf", "furnace"}))
        ->capture_default_str();
    write->add_option("-o,--output", profile_.output,
                      "File to write; .gz, .xz and .zst are compressed; default: print");
    add_unconfined(write, profile_.unconfined);
    on(write, [this] { return cli::export_profile(profile_); });
  }

  void add_ps(CLI::App& app) {
    auto* ps = app.add_subcommand("ps", "List the processes of a VM, seen from outside");
    ps->add_option("NAME", ps_.vm, "The VM's name (QEMU's -name), or a snapshot file")->required();
    auto* json = ps->add_flag("--json", json_, "Print a JSON array");
    auto* tree = ps->add_flag("--tree", tree_, "Print a tree")->excludes(json);
    ps->add_flag("--long", long_, "Print executable and command line too")->excludes(json)->excludes(tree);
    add_unconfined(ps, ps_.unconfined);
    on(ps, [this] {
      ps_.format = json_   ? cli::PsFormat::Json
                   : tree_ ? cli::PsFormat::Tree
                   : long_ ? cli::PsFormat::Long
                           : cli::PsFormat::Table;
      return cli::print_processes(ps_);
    });
  }

  void add_keys(CLI::App& app) {
    auto* keys = app.add_subcommand("keys", "CURVE keys of an app and its backend");
    keys->require_subcommand(1);
    auto* make = keys->add_subcommand("new", "Make app.key, app.pub, be.key and be.pub");
    make->add_option("DIR", directory_, "Directory to write them to")->required();
    make->add_option(
        "--app", app_id_,
        "The app's id: the key is valid only for this app; default: DIR's name, if it ends in -app");
    on(make, [this] { return cli::new_keys(directory_, app_id_); });
    auto* show = keys->add_subcommand(
        "show", "Show the public part of a certificate, or of all certificates in a directory");
    show->add_option("PATH", directory_, "A certificate, or a directory")->required();
    on(show, [this] { return cli::show_keys(directory_); });
    auto* rotate = keys->add_subcommand(
        "rotate", "Replace a key pair by a new one; the old key stays valid for a while");
    rotate->add_option("DIR", rotation_.directory, "Directory with app.key or be.key")->required();
    rotate->add_option("--key", rotation_.name, "Which pair")
        ->check(CLI::IsMember({"app", "be"}))
        ->capture_default_str();
    rotate->add_option("--window", rotation_.window, "How long the old key stays valid: 30m, 24h, 7d")
        ->capture_default_str();
    on(rotate, [this] { return cli::rotate_keys(rotation_); });
    auto* revoke = keys->add_subcommand(
        "revoke", "Revoke a key: it becomes invalid as soon as the directory is read again");
    revoke
        ->add_option("PATH", directory_, "A public certificate, or a directory: revokes its app.previous.pub")
        ->required();
    on(revoke, [this] { return cli::revoke_key(directory_); });
    auto* check =
        keys->add_subcommand("check", "Check the keys in a directory: form, modes, pairs, validity");
    check->add_option("DIR", directory_, "A directory of keys, or of directories of keys")->required();
    on(check, [this] { return cli::check_keys(directory_); });
  }

  void add_tail(CLI::App& app) {
    auto* tail = app.add_subcommand("tail", "Show the messages of an app as they pass");
    tail->add_option("APP", tail_.app, "The app's id");
    tail->add_option("--fac", tail_.directory,
                     "Directory of the sockets of its FAC partition, instead of the id");
    tail->add_flag("--json", tail_.json, "Print one JSON object per message");
    tail->add_option("-n,--count", tail_.count, "Exit after N messages")->check(within({1, INT64_MAX}));
    on(tail, [this] {
      if (tail_.app.empty() == tail_.directory.empty())
        return Status(fail(Errc::Invalid, "give the app's id, or --fac DIR"));
      return cli::tail(tail_);
    });
  }

  Program program_;
  std::function<Status()> action_;
  cli::VmOptions vm_;
  cli::TopOptions top_;
  cli::TailOptions tail_;
  cli::Rotation rotation_;
  cli::SetupOptions setup_;
  cli::RunOptions run_;
  cli::PolicyOptions policy_;
  cli::CgroupOptions cgroup_;
  cli::PsOptions ps_;
  cli::SnapshotCommand snapshot_;
  cli::ProfileOptions profile_;
  std::string directory_, shell_, root_kind_, app_id_;
  int exit_code_ = 0;  ///< of a command that succeeded
  bool markdown_ = false, json_ = false, tree_ = false, long_ = false, names_only_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  // Their options are their own: handed on as they are.
  const std::string_view name = argc > 1 ? argv[1] : "";
  for (const launch::Kind* kind : launch::kinds())
    if (name == kind->name) return launch::launch(*kind, argc - 1, argv + 1);
  for (const Executable& each : kExecutables)
    if (name == each.name) return become(each.name, argv + 1);
  return Furnace().run(argc, argv);
}
