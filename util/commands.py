"""What every command shares: the Python check, flag parsing and one-sentence errors.

A command that makes data does not load TensorFlow:

    from util import commands

    def define_flags():
        flags.DEFINE_string("input_file", None, "Text files, globs, comma lists.")

    def main(flags):
        ...

    if __name__ == "__main__":
        commands.run(main, define_flags)

One that builds graphs imports `util.platforms` first and calls `platforms.run` instead.
"""

import os
import re
import sys

from util.errors import UserError

# {release of TensorFlow: the minor versions of the Python 3 that it has wheels for}.
SUPPORTED = {"2.21": (10, 11, 12, 13), "2.15": (9, 10, 11), "1.15": (7,)}
# What no number of a flag exceeds: TensorFlow's 32-bit integers and floats.
LARGEST, LARGEST_REAL = 2 ** 31 - 1, 1e30
PLATFORMS = ("Python 3.10-3.13 with TensorFlow 2.21.0, Python 3.9-3.11 with TensorFlow 2.15.1, or "
             "Python 3.7 with TensorFlow 1.15.5")


def platform_problem(python, tensorflow=None):
    """Why a pair of versions is not supported, or None: ((3, 11), "2.15.1") -> None.

    Without `tensorflow` only the Python version is checked.
    """
    major, minor = python[:2]
    fitting = [release for release, minors in SUPPORTED.items() if major == 3 and minor in minors]
    if not fitting:
        return "Python %d.%d is not supported%s" % (
            major, minor, " yet (no TensorFlow has wheels for it)" if (major, minor) > (3, 13)
            else "")
    if tensorflow is not None and tensorflow.rpartition(".")[0] not in fitting:
        return "TensorFlow %s is not supported on Python %d.%d" % (tensorflow, major, minor)
    return None


def check_platform(problem):
    """Exits with one sentence if there is a problem."""
    if problem:
        sys.exit("error: %s; this project runs on %s. Remedy: bash scripts/quickstart.sh makes a "
                 "suitable environment in .venv, or use `pip install -r requirements.txt` on one "
                 "of those Pythons." % (problem, PLATFORMS))


check_platform(platform_problem(sys.version_info))

from util import console, originals  # noqa: E402

from absl import app, flags, logging  # noqa: E402 - only after the check


def _main_with_plain_errors(main, argv):
    """Runs `main(flags)`; exits with one sentence and status 1 on a UserError or a full disk."""
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.ERROR)  # the warnings of libraries are not for users
    try:
        if len(argv) > 1:
            raise UserError("unexpected argument %r; flags are written --name=value" % argv[1])
        apply_original_flags(flags.FLAGS, command_name(argv[0]))
        expand_home(flags.FLAGS)
        check_numbers(flags.FLAGS)
        main(flags.FLAGS)
    except UserError as error:
        sys.exit("error: %s" % error)
    except OSError as error:
        if not error.strerror:
            raise
        sys.exit("error: %s: %s" % (error.filename or "writing", error.strerror))
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command resumes from the last complete checkpoint or file")
    except Exception as error:
        platforms = sys.modules.get("util.platforms")  # loaded where TensorFlow is
        sentence = platforms and platforms.explain(error)
        if not sentence:
            raise
        sys.exit("error: %s" % sentence)


def run(main, define_flags):
    """Defines and parses the flags, then calls `main(flags)`; only for `__main__`."""
    others = set(flags.FLAGS)
    define_flags()
    define_original_flags(flags, command_name(sys.argv[0]))
    for name in set(flags.FLAGS) - others:  # --help shows a command's key flags only
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    console.start_log()
    app.run(lambda argv: _main_with_plain_errors(main, argv),
            argv=join_booleans(sys.argv, flags.FLAGS))


def command_name(path):
    """"/a/run_squad.py" -> "run_squad"."""
    return os.path.splitext(os.path.basename(path))[0]


def define_original_flags(flags, command):
    """Defines the flags of the original codes that a command accepts, and --defaults."""
    define = {"string": flags.DEFINE_string, "bool": flags.DEFINE_bool,
              "integer": flags.DEFINE_integer, "float": flags.DEFINE_float}
    for flag in originals.flags_of(command):
        if flag.here:
            flags.DEFINE_alias(flag.name, flag.here)
        else:
            define[flag.value_type](flag.name, None, "Of %s's; %s." % (
                " and ".join(flag.codes), "ignored: " + flag.ignored if flag.ignored
                else "refused: " + flag.refused))
    codes = originals.defaults_of(command)
    if codes:
        flags.DEFINE_enum("defaults", None, sorted(codes), "Take every default of that code; flags "
                          "that are given win.")


def apply_original_flags(flags, command):
    """Refuses or mentions the flags of original codes that were given, and applies --defaults.

    Args:
      flags: parsed; still open to change, as this is part of parsing.

    Raises:
      UserError: a flag that asks for what this code does not do.
    """
    for flag in originals.flags_of(command):
        if flag.here or not flags[flag.name].present:
            continue
        value = flags[flag.name].value
        if flag.ignored:
            console.say("--%s is ignored: %s", flag.name, flag.ignored)
        elif value not in (flag.harmless, ""):
            raise UserError("--%s=%s: %s" % (flag.name, value, flag.refused))
    code = flags.defaults if "defaults" in flags else None
    if code:
        chosen = {name: value for name, value in originals.defaults_of(command)[code].items()
                  if not flags[name].present}
        for name, value in chosen.items():
            flags[name].value = value
        console.say("--defaults=%s: %s", code, " ".join(
            "--%s=%s" % item for item in sorted(chosen.items())))


def expand_home(flags):
    """Replaces the ~ that a path begins with by the home directory, which a shell does only where
    the flag and its value are two words.

    Args:
      flags: parsed; still open to change, as this is part of parsing.
    """
    home = os.path.expanduser("~")
    for name in flags:
        if isinstance(flags[name].value, str):
            expanded = re.sub(r"(^|,)~(?=/)", lambda match: match.group(1) + home,
                              flags[name].value)
            if expanded != flags[name].value:
                flags[name].value = expanded


def check_numbers(flags):
    """Refuses numbers of flags that are infinite, not a number, or larger than any use.

    Raises:
      UserError: with the flag.
    """
    for name in sorted(flags):
        value = flags[name].value
        if not flags[name].present or isinstance(value, bool) or not isinstance(
                value, (int, float)):
            continue
        largest = LARGEST if isinstance(value, int) else LARGEST_REAL
        if not -largest <= value <= largest:  # nor is NaN
            raise UserError("--%s=%s: expected a number of at most %g" % (name, value, largest))


def join_booleans(arguments, flags):
    """["--do_train", "true"] -> ["--do_train=true"], as the originals' users often write it."""
    joined = []
    for argument in arguments:
        name = joined[-1].lstrip("-") if joined else ""
        if argument.lower() in ("true", "false") and joined and joined[-1].startswith("-") and (
                name in flags and flags[name].flag_type() == "bool"):
            joined[-1] += "=" + argument
        else:
            joined.append(argument)
    return joined
