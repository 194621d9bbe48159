#include "image/cmdline.h"
#include "image/text.h"

#include <ctype.h>
#include <string.h>

enum match { WORD, PREFIX };

/*
 * What must not be on a measured command line. "-" and "_" in a name are the same to the kernel.
 * EARLYBOOT, 7; systemd: kernel-command-line(7), systemd(1); Linux: kernel-parameters.txt.
 */
static const struct hatch {
    const char *text;
    enum match match;
    bool fatal;
    const char *why;
} hatches[] = {
    {"single", WORD, true, "recovery mode: single-user shell"},
    {"-s", WORD, true, "recovery mode: single-user shell"},
    {"s", WORD, true, "recovery mode: single-user shell"},
    {"S", WORD, true, "recovery mode: single-user shell"},
    {"1", WORD, true, "recovery mode: single-user shell"},
    {"emergency", WORD, true, "recovery mode: emergency shell"},
    {"-b", WORD, true, "recovery mode: emergency shell"},
    {"rescue", WORD, true, "recovery mode: rescue shell"},
    {"recovery", WORD, true, "recovery mode"},
    {"rd.emergency", PREFIX, false, "emergency shell"},
    {"rd.rescue", WORD, true, "recovery mode: rescue shell"},
    {"--", WORD, true, "arguments for the guest's init"},
    {"init=", PREFIX, true, "another program in place of the guest's init"},
    {"rdinit=", PREFIX, true, "another program in place of the agent"},
    {"break", PREFIX, false, "shell in the initramfs"},
    {"rd.break", PREFIX, false, "shell in the initramfs"},
    {"rd.shell", PREFIX, false, "shell in the initramfs"},
    {"rd.debug", PREFIX, false, "debugging of the initramfs"},
    {"rd.systemd.", PREFIX, false, "systemd settings of the initramfs"},
    {"systemd.unit=", PREFIX, false, "another boot target"},
    {"systemd.debug_shell", PREFIX, false, "root shell on a console"},
    {"systemd.break", PREFIX, false, "shell on a console"},
    {"systemd.default_debug_tty", PREFIX, false, "root shell on a console"},
    {"systemd.crash_shell", PREFIX, false, "root shell on a console"},
    {"systemd.confirm_spawn", PREFIX, false, "control from the console"},
    {"systemd.wants=", PREFIX, false, "further units"},
    {"systemd.mask=", PREFIX, false, "units switched off"},
    {"systemd.run", PREFIX, false, "a command to run"},
    {"systemd.setenv=", PREFIX, false, "environment of all services"},
    {"systemd.set_credential", PREFIX, false, "credentials from the command line"},
    {"systemd.import_credentials", PREFIX, false, "credentials from the host"},
    {"systemd.gpt_auto", PREFIX, false, "swap and filesystems from the host's partition table"},
    {"systemd.firstboot", PREFIX, false, "questions on the host's console, root's password too"},
    {"random.trust_bootloader", PREFIX, false, "entropy that the host may know"},
    {"efi=", PREFIX, false, "settings of the EFI runtime services"},
    {"systemd_", PREFIX, false, "environment of systemd"},
    {"ld_", PREFIX, false, "environment of the dynamic loader"},
    {"resume", PREFIX, false, "resume from an unauthenticated hibernation image"},
    {"netconsole", PREFIX, false, "kernel messages sent over the network"},
    {"kgdb", PREFIX, false, "kernel debugger"},
    {"ekgdboc", PREFIX, false, "kernel debugger"},
    {"sysrq_always_enabled", PREFIX, false, "control from the console"},
    {"sysrq.", PREFIX, false, "control from the console"},
    {"dm_mod.create=", PREFIX, false, "device-mapper devices from the command line"},
    {"initrd=", PREFIX, false, "another initramfs"},
    {"mem_encrypt=off", WORD, false, "memory encryption switched off"},
    {"nfsroot=", PREFIX, false, "another root filesystem"},
};

/*
 * What keeps the host from configuring the guest behind the measured boot (ATTACKS, B2), by what
 * nothing appraises:
 *  - credentials from SMBIOS strings and fw_cfg are users' passwords, units, fstab lines;
 *  - swap, /home and others that the partition table announces would be the host's;
 *  - an image that was never booted asks on the console for what is not set, root's password too;
 *  - the EFI variable SystemdOptions is a second command line wherever Secure Boot is off, so EFI
 *    variables must not be readable. Nothing that a guest needs is lost with them;
 *  - firmware's random seed may be the host's (virtio-rng), who could then compute the keys of the
 *    agent's TLS connection: it is mixed in, but no longer counts as entropy.
 */
static const char *const closed[] = {
    "noresume",      "systemd.import_credentials=no", "systemd.gpt_auto=no", "systemd.firstboot=no",
    "efi=noruntime", "random.trust_bootloader=off",
};

/*
 * The EFI stub (Linux 5.7 and later) lets an initramfs from firmware take the place of the boot
 * loader's, and only measures it where firmware has what it knows to measure with. With this word
 * it does not look for one; what came with the boot parameters is unpacked all the same (init/
 * initramfs.c does not ask for it). Where GRUB itself goes the stub's way, it would lose ours.
 */
#define NOINITRD "noinitrd"

static bool is_closed(const char *word)
{
    if (strcmp(word, NOINITRD) == 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(closed); i++)
        if (strcmp(word, closed[i]) == 0)
            return true;
    return false;
}

static char folded(char c)
{
    return c == '-' ? '_' : (char)tolower((unsigned char)c);
}

static bool hatch_matches(const struct hatch *h, const char *word)
{
    /* "-b" and "-s" would fold to "_b" and "_s", and "S" to "s", which is in the table too. */
    if (h->match == WORD && strcmp(h->text, word) == 0)
        return true;
    size_t i = 0;
    for (; h->text[i]; i++)
        if (folded(word[i]) != folded(h->text[i]))
            return false;
    return h->match == PREFIX || !word[i];
}

const char *cmdline_hatch(const char *word, bool *fatal)
{
    for (size_t i = 0; i < ARRAY_SIZE(hatches); i++)
        if (hatch_matches(&hatches[i], word)) {
            *fatal = hatches[i].fatal;
            return hatches[i].why;
        }
    return NULL;
}

void cmdline_free(struct cmdline *c)
{
    strings_free(c->words);
    strings_free(c->removed);
    free(c->root_flags);
    *c = (struct cmdline){0};
}

/* What says how the root is mounted is for the agent, too. */
static int keep_word(struct cmdline *c, const char *word)
{
    if (starts_with(word, "rootflags=")) {
        free(c->root_flags);
        c->root_flags = strdup(word + strlen("rootflags="));
        if (!c->root_flags)
            return -ENOMEM;
    }
    if (strcmp(word, "ro") == 0 || strcmp(word, "rw") == 0)
        c->read_only = word[1] == 'o';
    return strings_add(&c->words, word);
}

/* Words whose meaning the agent takes over, or that are set anew. */
static int take_word(struct cmdline *c, const char *word, const struct cmdline_options *o,
                     bool *root_done)
{
    if (starts_with(word, "root=")) {
        if (*root_done)
            return 0;
        *root_done = true;
        return strings_add(&c->words, "root=" CMDLINE_ROOT);
    }
    if (o->ip && starts_with(word, "ip="))
        return 0;
    return keep_word(c, word);
}

static int rewrite(struct cmdline *c, char *const *words, const struct cmdline_options *o,
                   const char **why)
{
    bool root_done = false;
    int r = 0;
    for (; r == 0 && words && *words; words++) {
        bool fatal = false;
        const char *hatch = cmdline_hatch(*words, &fatal);
        if (is_closed(*words))
            continue; /* they come at the end */
        if (hatch && fatal) {
            *why = hatch;
            return -EPERM;
        }
        r = hatch ? strings_add(&c->removed, *words) : take_word(c, *words, o, &root_done);
    }
    if (r == 0 && !root_done)
        r = strings_add(&c->words, "root=" CMDLINE_ROOT);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(closed); i++)
        r = strings_add(&c->words, closed[i]);
    if (r == 0 && o->noinitrd)
        r = strings_add(&c->words, NOINITRD);
    if (r == 0 && o->ip) {
        _free_ char *ip = NULL;
        r = asprintf(&ip, "ip=%s", o->ip) < 0 ? -ENOMEM : strings_add(&c->words, ip);
    }
    for (char *const *a = o->append; r == 0 && a && *a; a++)
        r = keep_word(c, *a);
    if (r == 0 && !c->root_flags && !(c->root_flags = strdup("")))
        r = -ENOMEM;
    return r;
}

int cmdline_rewrite(struct cmdline *ret, char *const *words, const struct cmdline_options *o,
                    const char **why, struct error *err)
{
    _cmdline_ struct cmdline c = {.read_only = true};
    int r = rewrite(&c, words, o, why);
    if (r == -ENOMEM)
        return error_set(err, ENOMEM, "out of memory");
    if (r < 0)
        return error_set(err, -r, "%s", *why);
    *ret = c;
    c = (struct cmdline){0};
    return 0;
}

static bool plain(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("_-./:,=+@%~[]", c) != NULL);
}

int cmdline_split_append(char ***ret, const char *text, struct error *err)
{
    _strings_ char **words = NULL;
    struct bytes word;
    for (size_t at = 0; next_word(BYTES_STR(text), &at, &word);) {
        if (strings_add_n(&words, (const char *)word.data, word.size) < 0)
            return error_set(err, ENOMEM, "out of memory");
        const char *added = words[strings_count(words) - 1];
        bool fatal;
        const char *hatch = cmdline_hatch(added, &fatal);
        if (hatch)
            return error_set(err, EINVAL, "--append: \"%s\" is not allowed (%s)", added, hatch);
        if (starts_with(added, "root="))
            return error_set(err, EINVAL, "--append: root= is set by encroot");
        if (strcmp(added, NOINITRD) == 0)
            return error_set(err, EINVAL,
                             "--append: " NOINITRD " is set by encroot, where the "
                             "boot loader's initramfs survives it");
        for (const char *c = added; *c; c++)
            if (!plain(*c))
                return error_set(err, EINVAL,
                                 "--append: the character \"%c\" in \"%s\" is not allowed", *c,
                                 added);
    }
    *ret = TAKE_PTR(words);
    return 0;
}

int cmdline_check_ip(const char *value, struct error *err)
{
    bool ok = *value != '\0';
    for (const char *c = value; *c; c++)
        ok &= isalnum((unsigned char)*c) || strchr("_-.:[]", *c) != NULL;
    if (ok)
        return 0;
    return error_hint(err, error_set(err, EINVAL, "--ip: \"%s\" is not an ip= value", value),
                      "for example: --ip dhcp, or "
                      "--ip 192.0.2.10::192.0.2.1:255.255.255.0::eth0:none");
}

static bool hex_escape(const char *c)
{
    return c[0] == '\\' && c[1] == 'x' && isxdigit((unsigned char)c[2]) &&
           isxdigit((unsigned char)c[3]);
}

static int join_word(struct buffer *b, const char *word)
{
    bool space = strchr(word, ' ') != NULL;
    int r = space ? buffer_append(b, "\"", 1) : 0;
    for (const char *c = word; r == 0 && *c; c++) {
        if (hex_escape(c)) {
            r = buffer_append(b, c, 4);
            c += 3;
            continue;
        }
        if (strchr("\\'\"", *c))
            r = buffer_append(b, "\\", 1);
        if (r == 0)
            r = buffer_append(b, c, 1);
    }
    return r == 0 && space ? buffer_append(b, "\"", 1) : r;
}

int cmdline_join(struct buffer *ret, const char *path, char *const *words)
{
    int r = join_word(ret, path);
    for (; r == 0 && words && *words; words++) {
        r = buffer_append(ret, " ", 1);
        if (r == 0)
            r = join_word(ret, *words);
    }
    return r;
}
