/* The pure stages of src/image: text in, plan out. */
#include "unit.h"

#include "image/bootplan.h"
#include "image/cmdline.h"
#include "image/cpio.h"
#include "image/fstab.h"
#include "image/growth.h"
#include "image/grubcommands.h"
#include "image/grubgen.h"
#include "image/initramfs.h"
#include "image/modules.h"
#include "image/text.h"
#include "measure/decompress.h"

#define ROOT_UUID "6d9a1c34-5b1e-4f7b-9c0d-7e8f90a1b203"
#define BOOT_UUID "3b0f6f5e-0a47-4d0c-8a56-2d1f5b7e9c02"

/* ---- fstab ---- */
static void fstab_is_read(void **state)
{
    static const char text[] = "# comment UUID=x / ext4\n"
                               "UUID=\"" ROOT_UUID "\" / ext4 errors=remount-ro 0 1\r\n"
                               "\n"
                               "LABEL=my\\040boot\t/boot/\text4\n"
                               "too few\n"
                               "/dev/vda1 /boot/efi vfat umask=0077 0 1";
    struct error err = {0};
    _fstab_ struct fstab t = {0};
    assert_int_equal(fstab_parse(&t, BYTES_STR(text), &err), 0);
    assert_int_equal(t.count, 3);
    assert_string_equal(fstab_find(&t, "/")->source, "UUID=" ROOT_UUID);
    assert_string_equal(fstab_find(&t, "/")->options, "errors=remount-ro");
    assert_string_equal(fstab_find(&t, "/boot")->source, "LABEL=my boot");
    assert_string_equal(fstab_find(&t, "/boot")->options, "defaults");
    assert_string_equal(fstab_find(&t, "/boot/efi")->type, "vfat");
    assert_null(fstab_find(&t, "/home"));
}

/* ---- grub.cfg ---- */
static struct grub_config parsed(const char *text)
{
    struct error err = {0};
    struct grub_config c = {0};
    if (grub_config_parse(&c, BYTES_STR(text), "grub.cfg", &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static void grub_words(void **state)
{
    _grub_config_ struct grub_config c =
        parsed("linux /vm\\ x a'b c'd \"e \\\"f\\\" $g\" ${h}i '$j' # no\n"
               "echo a\\\nb;echo c#d # comment\n");
    assert_int_equal(c.command_count, 3);
    char **w = c.commands[0].words;
    assert_int_equal(strings_count(w), 6);
    assert_string_equal(w[1], "/vm x");
    assert_string_equal(w[2], "ab cd");
    assert_string_equal(w[3], "e \"f\" " GRUBCFG_VAR("g"));
    assert_string_equal(w[4], GRUBCFG_VAR("h") "i");
    assert_string_equal(w[5], "$j");
    assert_string_equal(c.commands[1].words[1], "ab");
    assert_string_equal(c.commands[2].words[1], "c#d");
    assert_int_equal(c.commands[2].line, 3);
}

static void grub_blocks(void **state)
{
    _grub_config_ struct grub_config c =
        parsed("if [ a ]; then\n menuentry 'x' { linux /a; }\nelse\n set b=1\nfi\n"
               "function f { set c=2; }\n"
               "submenu 'more' --id m {\n menuentry y --class z $menuentry_id_option 'why' "
               "--unrestricted {\n linux /b\n { initrd /c; } } }\nset d=3\n");
    assert_int_equal(c.entry_count, 3);
    assert_true(c.entries[0].conditional);
    assert_true(c.entries[1].submenu);
    assert_string_equal(c.entries[1].id, "m");
    assert_int_equal(c.entries[2].parent, 1);
    assert_string_equal(c.entries[2].title, "y");
    assert_string_equal(c.entries[2].id, "why");
    assert_false(c.entries[2].conditional);
    static const struct {
        const char *first, *second;
        int entry;
        bool conditional;
    } expected[] = {
        {"[", "a", -1, true},      {"linux", "/a", 0, true},  {"set", "b=1", -1, true},
        {"set", "c=2", -1, true},  {"linux", "/b", 2, false}, {"initrd", "/c", 2, false},
        {"set", "d=3", -1, false},
    };
    assert_int_equal(c.command_count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < c.command_count; i++) {
        assert_string_equal(c.commands[i].words[0], expected[i].first);
        assert_string_equal(c.commands[i].words[1], expected[i].second);
        assert_int_equal(c.commands[i].entry, expected[i].entry);
        assert_int_equal(c.commands[i].conditional, expected[i].conditional);
    }
}

static void grub_refuses(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"echo 'a\n\n", "line 3: a single quote"},
        {"echo \"a", "double quote"},
        {"menuentry x {\n", "line 1: what is opened"},
        {"}\n", "closes nothing"},
        {"if a; then\n}\n", "line 2: \"}\" closes nothing"},
        {"fi\n", "\"fi\" closes nothing"},
        {"menuentry { linux /x; }", "without a title"},
        {"echo {", "unexpected \"{\""},
        {"echo \001x\002", "not a text file"},
        {"echo \\", "ends in a backslash"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        _grub_config_ struct grub_config c = {0};
        assert_int_equal(grub_config_parse(&c, BYTES_STR(cases[i].text), "grub.cfg", &err),
                         -EBADMSG);
        assert_non_null(strstr(err.text, cases[i].says));
    }
    char deep[200];
    for (size_t i = 0; i < sizeof(deep); i++)
        deep[i] = i % 2 ? ';' : '{';
    struct error err = {0};
    struct grub_config c;
    assert_int_equal(grub_config_parse(&c, BYTES_OF(deep), "grub.cfg", &err), -EBADMSG);
    assert_non_null(strstr(err.text, "too deeply"));
}

/* As update-grub of Debian 12 writes it, shortened where lines repeat. */
#define BODY(args)                                                                                 \
    "\tload_video\n\tinsmod gzio\n"                                                                \
    "\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi\n"                       \
    "\tset root='hd0,gpt2'\n"                                                                      \
    "\tif [ x$feature_platform_search_hint = xy ]; then\n"                                         \
    "\t  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 " BOOT_UUID "\n"             \
    "\telse\n\t  search --no-floppy --fs-uuid --set=root " BOOT_UUID "\n\tfi\n"                    \
    "\techo\t'Loading Linux 6.1.0-56-cloud-amd64 ...'\n"                                           \
    "\tlinux\t/vmlinuz-6.1.0-56-cloud-amd64 root=UUID=" ROOT_UUID " ro " args "\n"                 \
    "\tinitrd\t/initrd.img-6.1.0-56-cloud-amd64\n}\n"
#define ENTRY(title, id, args)                                                                     \
    "menuentry '" title "' --class os $menuentry_id_option '" id "' {\n" BODY(args)
/* clang-format off */
static const char debian[] =
    "if [ -s $prefix/grubenv ]; then\n  set have_grubenv=true\n  load_env\nfi\n"
    "if [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\n   set next_entry=\n"
    "   save_env next_entry\nelse\n   set default=\"0\"\nfi\n"
    "function savedefault {\n  if [ -z \"${boot_once}\" ]; then\n    "
    "saved_entry=\"${chosen}\"\n"
    "    save_env saved_entry\n  fi\n}\n"
    "serial --unit=0 --speed=115200\nterminal_input console\nterminal_output gfxterm\n"
    "if [ \"${recordfail}\" = 1 ] ; then\n  set timeout=30\nelse\n"
    "  if [ x$feature_timeout_style = xy ] ; then\n    set timeout_style=menu\n"
    "    set timeout=1\n  else\n    set timeout=1\n  fi\nfi\n"
    ENTRY("Debian GNU/Linux", "simple", "console=ttyS0,115200 ")
    "submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'advanced' {\n"
    ENTRY("Debian, with Linux 6.1", "adv-6.1", "console=ttyS0,115200 rd.break quiet")
    ENTRY("Debian, with Linux 6.1 (recovery mode)", "rec", "single console=ttyS0,115200")
    "}\n"
    "menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {\n\tfwsetup\n}\n"
    "menuentry 'Memory test' { linux16 /memtest86+.bin; }\n"
    "menuentry 'Other disk' { search.fs_uuid 0000-0000 root; linux /vmlinuz-6.1; }\n"
    "menuentry 'Variable' { linux /vmlinuz-6.1 root=$x; }\n"
    "menuentry 'Missing' { linux /vmlinuz-9.9; }\n"
    "menuentry \"It's\" { linux /vmlinuz-6.2 root=/dev/vda3 $vt_handoff quiet ; }\n";
/* clang-format on */

static const char *no_9(void *arg, const char *path, const char *version)
{
    return strcmp(version, "9.9") == 0 ? "its kernel is not in /boot" : NULL;
}

static struct bootplan planned(const char *text, const char *grubenv)
{
    struct error err = {0};
    _grub_config_ struct grub_config c = parsed(text);
    struct bootplan p = {0};
    struct bootplan_checks checks = {.boot_uuid = BOOT_UUID, .grubenv = grubenv, .kernel = no_9};
    if (bootplan_make(&p, &c, &checks, &err) < 0)
        fail_msg("%s", err.text);
    return p;
}

static void plan_of_debian(void **state)
{
    _bootplan_ struct bootplan p = planned(debian, NULL);
    assert_int_equal(p.count, 3);
    assert_string_equal(p.entries[0].title, "Debian GNU/Linux");
    assert_string_equal(p.entries[0].id, "simple");
    assert_string_equal(p.entries[0].version, "6.1.0-56-cloud-amd64");
    assert_string_equal(p.entries[0].kernel, "/vmlinuz-6.1.0-56-cloud-amd64");
    assert_string_equal(p.entries[0].initrds[0], "/initrd.img-6.1.0-56-cloud-amd64");
    assert_int_equal(strings_count(p.entries[0].args), 3);
    assert_string_equal(p.entries[2].args[1], "quiet");
    assert_null(p.entries[2].args[2]);
    assert_int_equal(p.timeout, 1);
    assert_int_equal(strings_count(p.terminal), 2);
    assert_string_equal(p.terminal[0], "serial --unit=0 --speed=115200");
    static const char *const removed[][2] = {
        {"Debian, with Linux 6.1 (recovery mode)", "recovery mode: single-user shell"},
        {"UEFI Firmware Settings", "enters the firmware's setup"},
        {"Memory test", "a memory test"},
        {"Other disk", "its kernel is on another filesystem"},
        {"Variable", "its command line has a variable"},
        {"Missing", "its kernel is not in /boot"},
    };
    assert_int_equal(p.removed_count, ARRAY_SIZE(removed));
    for (size_t i = 0; i < p.removed_count; i++) {
        assert_string_equal(p.removed[i].title, removed[i][0]);
        assert_string_equal(p.removed[i].reason, removed[i][1]);
    }
}

static void plan_default(void **state)
{
    static const char menu[] =
        "menuentry a { linux /vmlinuz-1; }\n"
        "submenu s --id sub { menuentry b --id bee { linux /vmlinuz-2; }\n"
        "menuentry c { linux /vmlinuz-3; } }\nmenuentry d { linux /vmlinuz-4; }\n";
    static const struct {
        const char *set, *grubenv, *first;
    } cases[] = {
        {"", NULL, "a"},
        {"set default=2", NULL, "d"},
        {"set default='1>1'", NULL, "c"},
        {"set default='sub>bee'", NULL, "b"},
        {"default=1", NULL, "b"},
        {"set default=nothing", NULL, "a"},
        {"set default=\"${saved_entry}\"", "# GRUB\nsaved_entry=d\n####", "d"},
        {"set default=\"${saved_entry}\"", NULL, "a"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[512];
        snprintf(text, sizeof(text), "%s\n%s", cases[i].set, menu);
        _bootplan_ struct bootplan p = planned(text, cases[i].grubenv);
        assert_int_equal(p.count, 4);
        assert_string_equal(p.entries[0].title, cases[i].first);
    }
}

/* E7: the kernel splits at any blank, and knows quotes; GRUB's text shows neither. */
static void words_that_linux_reads_otherwise(void **state)
{
    static const struct {
        const char *words;
        size_t count;
        const char *reason;
    } cases[] = {
        {"/vmlinuz-1 ro quiet", 1, NULL},
        {"/vmlinuz-1 'a\tinit=/bin/sh'", 0, "its command line has a quoted blank"},
        {"/vmlinuz-1 'a\nsystemd.debug-shell'", 0, "its command line has a quoted blank"},
        {"/vmlinuz-1 \"a init=/bin/sh\"", 0, "its command line has a quoted blank"},
        {"/vmlinuz-1 '\"init=/bin/sh\"'", 0, "its command line has a quoted blank"},
        {"/vmlinuz-1 \"it's\"", 0, "its command line has a quoted blank"},
        {"/vmlinuz-1 a\\\\x20init=/bin/sh", 0, "its command line has a quoted blank"},
        {"/vmlinuz-1 a\xc3\xa0init=/bin/sh", 0, "its command line has a quoted blank"},
        {"/vmlinuz-1 a\x7f", 0, "its command line has a quoted blank"},
        {"'/vmlinuz-1\tinit=/bin/sh' ro", 0, "the path of its kernel has a blank"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[128];
        snprintf(text, sizeof(text), "menuentry a { linux %s; }\n", cases[i].words);
        _bootplan_ struct bootplan p = planned(text, NULL);
        assert_int_equal(p.count, cases[i].count);
        assert_int_equal(p.removed_count, 1 - cases[i].count);
        if (cases[i].reason)
            assert_non_null(strstr(p.removed[0].reason, cases[i].reason));
    }
}

/* What is generated reads back as what was meant, and nothing in it depends on a variable. */
static void generated_config_reads_back(void **state)
{
    _bootplan_ struct bootplan p = planned(debian, NULL);
    _buffer_ struct buffer text = {0};
    assert_int_equal(grubgen_header(&text, &p), 0);
    for (size_t i = 0; i < p.count; i++) {
        struct grubgen_entry e = {.title = p.entries[i].title,
                                  .id = p.entries[i].id,
                                  .kernel = p.entries[i].kernel,
                                  .args = p.entries[i].args,
                                  .initrd = "/encroot-6.1.img"};
        assert_int_equal(grubgen_entry(&text, &e, BOOT_UUID), 0);
    }
    assert_int_equal(buffer_append(&text, "", 1), 0);
    _grub_config_ struct grub_config c = parsed((const char *)text.data);
    for (size_t i = 0; i < c.command_count; i++)
        for (char **w = c.commands[i].words; *w; w++)
            assert_false(grub_word_has_variable(*w));
    assert_string_equal(c.commands[0].words[1], "superusers=");
    _bootplan_ struct bootplan again = planned((const char *)text.data, NULL);
    assert_int_equal(again.count, p.count);
    assert_int_equal(again.removed_count, 0);
    assert_int_equal(again.timeout, 1);
    for (size_t i = 0; i < p.count; i++) {
        assert_string_equal(again.entries[i].title, p.entries[i].title);
        assert_int_equal(strings_count(again.entries[i].args), strings_count(p.entries[i].args));
        for (size_t k = 0; p.entries[i].args[k]; k++)
            assert_string_equal(again.entries[i].args[k], p.entries[i].args[k]);
        assert_string_equal(again.entries[i].initrds[0], "/encroot-6.1.img");
    }
}

static struct grub_stub stub_of(const char *text)
{
    struct error err = {0};
    _grub_config_ struct grub_config c = parsed(text);
    struct grub_stub s = {0};
    assert_int_equal(grub_stub_read(&s, &c, &err), 0);
    return s;
}

static void stubs(void **state)
{
    _grub_stub_ struct grub_stub d = stub_of("search.fs_uuid " BOOT_UUID " root hd0,gpt2 \n"
                                             "set prefix=($root)'/grub'\n"
                                             "configfile $prefix/grub.cfg\n");
    assert_true(d.plain);
    assert_string_equal(d.uuid, BOOT_UUID);
    assert_string_equal(d.path, "/grub/grub.cfg");
    assert_string_equal(d.prefix, "/grub");
    _buffer_ struct buffer own = {0};
    assert_int_equal(grubgen_stub(&own, BOOT_UUID, "/grub/grub.cfg"), 0);
    assert_int_equal(buffer_append(&own, "", 1), 0);
    _grub_stub_ struct grub_stub o = stub_of((const char *)own.data);
    assert_true(o.plain);
    assert_string_equal(o.path, "/grub/grub.cfg");
    assert_null(o.prefix);
    static const char *const others[] = {
        "search --label boot --set=root\nset prefix=($root)/grub\nconfigfile $prefix/grub.cfg\n",
        "search.fs_uuid " BOOT_UUID " root\nif a; then configfile ($root)/grub/grub.cfg; fi\n",
        "search.fs_uuid " BOOT_UUID " root\nload_env\nconfigfile ($root)/grub/grub.cfg\n",
        "search.fs_uuid " BOOT_UUID " root\nconfigfile ($root)/grub/grub.cfg\nlinux /x\n",
        "configfile ($root)/grub/grub.cfg\n",
        "search.fs_uuid " BOOT_UUID " root\n",
        "search.fs_uuid " BOOT_UUID " root\nconfigfile ($root)/$x\n",
        "menuentry a { linux /x; }\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        _grub_stub_ struct grub_stub s = stub_of(others[i]);
        assert_false(s.plain);
    }
}

/* ---- what GRUB measures ---- */
static void assert_commands(const char *text, const char *const *expected, size_t count)
{
    struct error err = {0};
    _strings_ char **list = NULL;
    if (grub_commands_of_text(&list, BYTES_STR(text), "grub.cfg", &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(list[i] ? list[i] : "(none)", expected[i]);
    assert_int_equal(strings_count(list), count);
}

static void commands_as_grub_measures_them(void **state)
{
    static const char *const simple[] = {"set a=b c", "set b=", "echo  x", "echo \\*\\\\"};
    assert_commands("set  'a=b c'\n# no\nset b=\"\"; echo '' x\necho '*\\'\nset b=\n", simple,
                    ARRAY_SIZE(simple));
    static const char *const variables[] = {"set prefix=(*)/grub", "[ x* = xy ]",
                                            "! search --file /x", "echo * a*b", "load"};
    assert_commands("set prefix=($root)/grub\nif [ x$feature = xy ] && ! search --file /x; then\n"
                    "echo \"${a}${b}\" a${c}b\nelse load\nfi\n",
                    variables, ARRAY_SIZE(variables));
    static const char *const function[] = {"set x=*", "f"};
    assert_commands("function f {\n set x=$1\n}\nf\n", function, ARRAY_SIZE(function));
}

/* As in the log of a real boot (data/eventlogs/grub-secureboot.bin). */
static void menu_entries_as_grub_measures_them(void **state)
{
    static const char *const entry[] = {
        "menuentry Debian --class os --id d-1 { \n\n search 'x y' --set=root # c\n\tlinux /v $q\n}",
        "setparams Debian", "search x y --set=root", "linux /v *"};
    assert_commands("menuentry 'Debian' --class os $menuentry_id_option 'd-1' { \r\n\n"
                    "# whole line\n search 'x y' --set=root # c\n\tlinux /v $q\n}\n",
                    entry, ARRAY_SIZE(entry));
    static const char *const menu[] = {"submenu More {\nmenuentry 'a b' { linux /v; }\n}",
                                       "setparams More", "menuentry a b { linux /v; }",
                                       "setparams a b", "linux /v"};
    assert_commands("submenu More {\nmenuentry 'a b' { linux /v; }\n}\n", menu, ARRAY_SIZE(menu));
}

/* hash.json is UTF-8. */
static void other_encodings_become_wildcards(void **state)
{
    static const char *const utf8[] = {"echo gr\xc3\xbc\xc3\x9f"}, *const latin[] = {"echo gr**"};
    assert_commands("echo gr\xc3\xbc\xc3\x9f\n", utf8, 1);
    assert_commands("echo gr\xfc\xdf\n", latin, 1);
}

static void commands_of_the_program(void **state)
{
    struct error err = {0};
    _strings_ char **list = NULL;
    assert_int_equal(grub_commands_of_program(&list, BYTES_STR("no modules"), &err), 0);
    assert_null(list);
    /* A memdisk that cannot be read. */
    static const char program[] = "mimg\x0c\0\0\0\x18\0\0\0\x01\0\0\0\x0c\0\0\0hsqs";
    assert_int_equal(grub_commands_of_program(&list, BYTES(program, sizeof(program) - 1), &err), 0);
    assert_true(strings_contain(list, "source */grub.cfg"));
}

/* ---- command line ---- */
static void command_line_is_rewritten(void **state)
{
    char *words[] = {"root=UUID=x",
                     "ro",
                     "quiet",
                     "rd.break=pre-mount",
                     "resume=UUID=y",
                     "rw",
                     "systemd.debug-shell=1",
                     "SYSTEMD_SULOGIN_FORCE=1",
                     "systemd.import-credentials=yes",
                     "systemd.gpt_auto",
                     "efi=debug,runtime",
                     "efi=noruntime",
                     "noinitrd",
                     "rootflags=noatime",
                     "root=/dev/vda3",
                     "console=ttyS0",
                     NULL};
    char *append[] = {"audit=1", NULL};
    struct cmdline_options o = {.ip = "dhcp", .append = append, .noinitrd = true};
    const char *why = NULL;
    struct error err = {0};
    _cmdline_ struct cmdline c = {0};
    assert_int_equal(cmdline_rewrite(&c, words, &o, &why, &err), 0);
    _buffer_ struct buffer text = {0};
    assert_int_equal(cmdline_join(&text, "/vmlinuz", c.words), 0);
    assert_true(bytes_equal(
        buffer_bytes(&text),
        BYTES_STR("/vmlinuz root=/dev/mapper/encroot ro quiet rw rootflags=noatime console=ttyS0 "
                  "noresume systemd.import_credentials=no systemd.gpt_auto=no systemd.firstboot=no "
                  "efi=noruntime random.trust_bootloader=off noinitrd "
                  "ip=dhcp audit=1")));
    assert_int_equal(strings_count(c.removed), 7);
    assert_false(c.read_only);
    assert_string_equal(c.root_flags, "noatime");
}

static void appended_words_count_too(void **state)
{
    char *words[] = {"rootflags=noatime", "ro", NULL};
    char *append[] = {"rootflags=discard", "rw", NULL};
    struct cmdline_options o = {.append = append};
    const char *why = NULL;
    struct error err = {0};
    _cmdline_ struct cmdline c = {0};
    assert_int_equal(cmdline_rewrite(&c, words, &o, &why, &err), 0);
    assert_false(c.read_only);
    assert_string_equal(c.root_flags, "discard");
    assert_string_equal(c.words[strings_count(c.words) - 1], "rw");
}

static void hatches(void **state)
{
    /* systemd's table of such words (src/shared/unit-file.c, rlmap) whole, and more. */
    static const char *const fatal[] = {"emergency", "-b",       "rescue", "single", "-s",
                                        "s",         "S",        "1",      "--",     "init=/bin/sh",
                                        "rdinit=/x", "rd.rescue"};
    static const char *const plain[] = {"quiet",
                                        "console=ttyS0",
                                        "splash",
                                        "ip=dhcp",
                                        "rw",
                                        "systemd.log_level=debug",
                                        "security=apparmor",
                                        "12",
                                        "5",
                                        "-z",
                                        "singleton"};
    static const char *const cleaned[] = {"break",
                                          "break=top",
                                          "rd.shell=1",
                                          "rd.break",
                                          "systemd.unit=rescue.target",
                                          "systemd.debug_shell",
                                          "systemd.break=pre-udev",
                                          "rd.emergency",
                                          "rd.systemd.unit=x",
                                          "netconsole=@/,@10.0.0.1/",
                                          "kgdboc=ttyS0",
                                          "systemd.import_credentials=yes",
                                          "systemd.gpt_auto=yes",
                                          "efi=runtime",
                                          "random.trust_bootloader=on",
                                          "LD_PRELOAD=/x",
                                          "dm-mod.create=x"};
    bool f;
    for (size_t i = 0; i < ARRAY_SIZE(fatal); i++) {
        f = false;
        assert_non_null(cmdline_hatch(fatal[i], &f));
        assert_true(f);
    }
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
        assert_null(cmdline_hatch(plain[i], &f));
    for (size_t i = 0; i < ARRAY_SIZE(cleaned); i++) {
        f = true;
        assert_non_null(cmdline_hatch(cleaned[i], &f));
        assert_false(f);
    }
}

static void append_and_ip(void **state)
{
    struct error err = {0};
    _strings_ char **words = NULL;
    assert_int_equal(cmdline_split_append(&words, " ima_rot=tpm  swiotlb=65536,force ", &err), 0);
    assert_int_equal(strings_count(words), 2);
    static const char *const bad[] = {"quiet init=/bin/sh", "a$b",      "a;b",  "a'b",
                                      "root=/dev/vda3",     "rd.break", "a{b",  "efi=runtime",
                                      "a\ninit=/bin/sh",    "\"a",      "a\\b", "a\xa0z"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char **none = NULL;
        assert_int_equal(cmdline_split_append(&none, bad[i], &err), -EINVAL);
        assert_null(none);
    }
    assert_int_equal(cmdline_check_ip("10.0.2.15::10.0.2.2:255.255.255.0::eth0:none", &err), 0);
    assert_int_equal(cmdline_check_ip("dhcp quiet", &err), -EINVAL);
    assert_int_equal(cmdline_check_ip("", &err), -EINVAL);
}

/* grub-core/lib/cmdline.c */
static void joined_as_grub_does(void **state)
{
    char *words[] = {"a b", "c\"d", "e\\f", "g'h", "\\x20", NULL};
    _buffer_ struct buffer text = {0};
    assert_int_equal(cmdline_join(&text, "/k", words), 0);
    assert_true(
        bytes_equal(buffer_bytes(&text), BYTES_STR("/k \"a b\" c\\\"d e\\\\f g\\'h \\x20")));
}

/* ---- modules ---- */
static const char dep[] =
    "kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio.ko.xz "
    "kernel/drivers/virtio/virtio_ring.ko.xz\n"
    "kernel/drivers/virtio/virtio.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz\n"
    "kernel/drivers/virtio/virtio_ring.ko.xz:\n"
    "kernel/drivers/md/dm-crypt.ko.xz: kernel/drivers/md/dm-mod.ko.xz\n"
    "kernel/drivers/md/dm-mod.ko.xz:\n"
    "kernel/crypto/xts.ko.xz:\n"
    "kernel/crypto/ecb.ko.xz:\n"
    "kernel/fs/ext4/ext4.ko.xz:\n"
    "kernel/arch/x86/crypto/crc32c-intel.ko.xz:\n"
    "kernel/fs/btrfs/btrfs.ko.xz: kernel/crypto/xor.ko.xz\n"
    "kernel/crypto/xor.ko.xz:\n";
static const char alias[] = "# Aliases\n"
                            "alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\n"
                            "alias xts xts\n"
                            "alias cpu:type:x86,ven*fam*mod*:feature:*0094* crc32c_intel\n"
                            "alias crc32c crc32c_intel\n";
static const char softdep[] =
    "# Soft\nsoftdep xts pre: ecb\nsoftdep ext4 pre: crc32c post: btrfs\n";

static const struct planned_module *planned_module(const struct modules_plan *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->list[i].name, name) == 0)
            return &p->list[i];
    return NULL;
}

static void modules_are_ordered(void **state)
{
    struct modules_lists lists = {
        .dep = BYTES_STR(dep), .alias = BYTES_STR(alias), .softdep = BYTES_STR(softdep)};
    struct error err = {0};
    _modules_plan_ struct modules_plan p = {0};
    assert_int_equal(modules_plan_make(&p, &lists, &err), 0);
    assert_int_equal(p.count, 9);
    assert_null(planned_module(&p, "btrfs"));
    for (size_t i = 0; i < p.count; i++)
        for (char **d = p.list[i].depends; d && *d; d++) {
            size_t k = 0;
            while (k < i && strcmp(p.list[k].path, *d) != 0)
                k++;
            assert_true(k < i);
        }
    const struct planned_module *m = planned_module(&p, "virtio_pci");
    assert_string_equal(m->path, "/lib/modules/virtio_pci.ko");
    assert_string_equal(m->file, "kernel/drivers/virtio/virtio_pci.ko.xz");
    assert_string_equal(m->aliases[0], "pci:v00001AF4d*sv*sd*bc*sc*i*");
    assert_int_equal(strings_count(m->depends), 2);
    m = planned_module(&p, "xts");
    assert_null(m->aliases);
    assert_string_equal(m->depends[0], "/lib/modules/ecb.ko");
    m = planned_module(&p, "dm_crypt");
    assert_string_equal(m->path, "/lib/modules/dm-crypt.ko");
    assert_string_equal(m->depends[0], "/lib/modules/dm-mod.ko");
    /* What is there for another's sake only is not loaded by itself, and by no device. */
    assert_string_equal(planned_module(&p, "virtio_ring")->aliases[0], "dependency");
    assert_string_equal(planned_module(&p, "ext4")->depends[0], "/lib/modules/crc32c-intel.ko");
}

static void modules_that_are_missing(void **state)
{
    struct error err = {0};
    struct modules_plan p = {0};
    struct modules_lists lists = {.dep = BYTES_STR("kernel/crypto/xts.ko:\n")};
    assert_int_equal(modules_plan_make(&p, &lists, &err), -ENOENT);
    assert_non_null(strstr(err.text, "dm_mod"));
    lists.builtin = BYTES_STR("kernel/drivers/md/dm-mod.ko\nkernel/drivers/md/dm-crypt.ko\n"
                              "kernel/fs/ext4/ext4.ko\n");
    assert_int_equal(modules_plan_make(&p, &lists, &err), 0);
    assert_int_equal(p.count, 1);
    modules_plan_free(&p);
    static const char *const bad[] = {"no colon\n", "kernel/a.o:\n",
                                      "kernel/crypto/xts.ko: kernel/gone.ko\n",
                                      "kernel/crypto/xts.ko: kernel/crypto/xts.ko\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        lists.dep = BYTES_STR(bad[i]);
        assert_int_equal(modules_plan_make(&p, &lists, &err), -EBADMSG);
    }
}

/* ---- initramfs ---- */
static void compression_by_kernel(void **state)
{
    assert_int_equal(initramfs_compression_for(BYTES_STR("A=1\nCONFIG_RD_ZSTD=y\n")),
                     INITRAMFS_ZSTD);
    assert_int_equal(initramfs_compression_for(BYTES_STR("CONFIG_RD_GZIP=y\n# CONFIG_RD_ZSTD is "
                                                         "not set\n")),
                     INITRAMFS_GZIP);
    assert_int_equal(initramfs_compression_for(BYTES_STR("XCONFIG_RD_ZSTD=y\n")), INITRAMFS_PLAIN);
    assert_int_equal(initramfs_compression_for(BYTES_NONE), INITRAMFS_GZIP);
}

static void initramfs_is_reproducible(void **state)
{
    char cipher[] = "aes-xts-plain64", type[] = "ext4", flags[] = "";
    struct agent_config config = {.cipher = cipher,
                                  .sector_size = 4096,
                                  .data_offset = 16 << 20,
                                  .data_size = 1 << 20,
                                  .root_type = type,
                                  .root_flags = flags,
                                  .pin_count = 1,
                                  .listen_port = 7220,
                                  .deadline = 60};
    struct initramfs_module module = {.path = "/lib/modules/x.ko", .content = BYTES_STR("module")};
    struct initramfs_content content = {
        .agent = BYTES_STR("#!agent"), .config = &config, .modules = &module, .module_count = 1};
    struct error err = {0};
    for (int how = INITRAMFS_PLAIN; how <= INITRAMFS_ZSTD; how++) {
        content.compression = (enum initramfs_compression)how;
        _buffer_ struct buffer a = {0}, b = {0}, plain = {0};
        assert_int_equal(initramfs_make(&a, &content, &err), 0);
        assert_int_equal(initramfs_make(&b, &content, &err), 0);
        assert_true(bytes_equal(buffer_bytes(&a), buffer_bytes(&b)));
        assert_int_equal(decompress(&plain, buffer_bytes(&a), 1 << 20, &err), 0);
        assert_memory_equal(plain.data, "070701", 6);
        assert_int_equal(plain.size % 4, 0);
        assert_non_null(memmem(plain.data, plain.size, "#!agent", 7));
        assert_non_null(memmem(plain.data, plain.size, "etc/encroot/agent.json", 23));
        assert_non_null(memmem(plain.data, plain.size, "TRAILER!!!", 11));
    }
}

/* ---- growth ---- */
#define MIB ((uint64_t)1 << 20)

static struct partition_table table_of(uint64_t disk, size_t n, const uint64_t extents[][2])
{
    struct partition_table t = {.disk_size = disk, .count = n};
    for (size_t i = 0; i < n; i++)
        t.parts[i] = (struct partition){
            .number = (unsigned)i + 1, .start = extents[i][0] * MIB, .size = extents[i][1] * MIB};
    return t;
}

static void growth(void **state)
{
    struct error err = {0};
    struct partition_table out;
    enum growth how;
    /* Room behind it. */
    struct partition_table t = table_of(200 * MIB, 2, (const uint64_t[][2]){{1, 50}, {67, 50}});
    assert_int_equal(growth_plan(&out, &how, &t, 0, 16 * MIB, &err), 0);
    assert_int_equal(how, GROWTH_IN_PLACE);
    assert_int_equal(out.parts[0].size, 66 * MIB);
    assert_int_equal(out.disk_size, t.disk_size);
    /* One byte less is not enough: it moves behind everything. */
    t.parts[1].start -= 512;
    assert_int_equal(growth_plan(&out, &how, &t, 0, 16 * MIB, &err), 0);
    assert_int_equal(how, GROWTH_MOVED);
    assert_int_equal(out.parts[0].start, 117 * MIB);
    assert_int_equal(out.parts[0].size, 66 * MIB);
    assert_int_equal(out.parts[1].start, t.parts[1].start);
    assert_int_equal(out.disk_size, 200 * MIB);
    /* The last on the disk, whatever its number: the disk grows. */
    t = table_of(119 * MIB, 2, (const uint64_t[][2]){{60, 58}, {1, 50}});
    assert_int_equal(growth_plan(&out, &how, &t, 0, 16 * MIB, &err), 0);
    assert_int_equal(how, GROWTH_DISK);
    assert_int_equal(out.parts[0].start, 60 * MIB);
    assert_int_equal(out.disk_size, 135 * MIB);
    t.parts[0].size = UINT64_MAX - MIB;
    assert_int_equal(growth_plan(&out, &how, &t, 0, 16 * MIB, &err), -EOVERFLOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fstab_is_read),
        cmocka_unit_test(grub_words),
        cmocka_unit_test(grub_blocks),
        cmocka_unit_test(grub_refuses),
        cmocka_unit_test(plan_of_debian),
        cmocka_unit_test(plan_default),
        cmocka_unit_test(words_that_linux_reads_otherwise),
        cmocka_unit_test(generated_config_reads_back),
        cmocka_unit_test(stubs),
        cmocka_unit_test(commands_as_grub_measures_them),
        cmocka_unit_test(menu_entries_as_grub_measures_them),
        cmocka_unit_test(other_encodings_become_wildcards),
        cmocka_unit_test(commands_of_the_program),
        cmocka_unit_test(command_line_is_rewritten),
        cmocka_unit_test(appended_words_count_too),
        cmocka_unit_test(hatches),
        cmocka_unit_test(append_and_ip),
        cmocka_unit_test(joined_as_grub_does),
        cmocka_unit_test(modules_are_ordered),
        cmocka_unit_test(modules_that_are_missing),
        cmocka_unit_test(compression_by_kernel),
        cmocka_unit_test(initramfs_is_reproducible),
        cmocka_unit_test(growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
