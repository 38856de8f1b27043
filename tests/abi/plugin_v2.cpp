// What TensorRT 8.6 does with a plugin, by the layout of its interfaces alone: virtual functions
// in the order of NvInferRuntime.h and NvInferRuntimePlugin.h, release 8.6, under names of our own.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <typeinfo>
#include <vector>

namespace {

struct Dims { int32_t count; int32_t sizes[8]; };
struct Desc { Dims dims; int32_t type; int32_t format; float scale; };
struct DynamicDesc { Desc desc; Dims min; Dims max; };

// A size of a tensor: a table of functions, then a pointer to what does the work.
struct SizeWork {
    virtual ~SizeWork() = default;
    virtual bool isConstant() const = 0;
    virtual int32_t constantValue() const = 0;
};
struct Size {
    SizeWork* work;
    virtual ~Size() = default;
};
struct Sizes { int32_t count; Size const* sizes[8]; };
struct BuilderWork {
    virtual ~BuilderWork() = default;
    virtual Size const* constant(int32_t value) = 0;
    virtual Size const* operation(int32_t kind, Size const& x, Size const& y) = 0;
};
struct Builder {
    BuilderWork* work;
    virtual ~Builder() = default;
};

struct Plugin {
    virtual int32_t tensorrtVersion() const = 0;
    virtual char const* type() const = 0;
    virtual char const* version() const = 0;
    virtual int32_t outputs() const = 0;
    virtual Dims staticDimensions(int32_t, Dims const*, int32_t) = 0;
    virtual bool obsoleteSupports(int32_t, int32_t) const = 0;
    virtual void obsoleteConfigure(Dims const*, int32_t, Dims const*, int32_t, int32_t, int32_t,
                                   int32_t) = 0;
    virtual int32_t initialize() = 0;
    virtual void terminate() = 0;
    virtual size_t obsoleteWorkspace(int32_t) const = 0;
    virtual int32_t obsoleteEnqueue(int32_t, void const* const*, void* const*, void*, void*) = 0;
    virtual size_t serializedSize() const = 0;
    virtual void serialize(void*) const = 0;
    virtual void destroy() = 0;
    virtual Plugin* clone() const = 0;
    virtual void setNamespace(char const*) = 0;
    virtual char const* nameSpace() const = 0;
    virtual ~Plugin() = default;
    // Of the second interface.
    virtual int32_t outputType(int32_t, int32_t const*, int32_t) const = 0;
    virtual bool isBroadcast(int32_t, bool const*, int32_t) const = 0;
    virtual bool canBroadcast(int32_t) const = 0;
    virtual void configureStatic(Dims const*, int32_t, Dims const*, int32_t, int32_t const*,
                                 int32_t const*, bool const*, bool const*, int32_t, int32_t) = 0;
    virtual void attach(void*, void*, void*) = 0;
    virtual void detach() = 0;
    // Of the third.
    virtual Sizes dimensions(int32_t, Sizes const*, int32_t, Builder&) = 0;
    virtual bool supports(int32_t, Desc const*, int32_t, int32_t) = 0;
    virtual void configure(DynamicDesc const*, int32_t, DynamicDesc const*, int32_t) = 0;
    virtual size_t workspace(Desc const*, int32_t, Desc const*, int32_t) const = 0;
    virtual int32_t enqueue(Desc const*, Desc const*, void const* const*, void* const*, void*,
                            void*) = 0;
};

struct Field { char const* name; void const* data; int32_t type; int32_t length; };
struct Fields { int32_t count; Field const* fields; };
struct Creator {
    virtual int32_t tensorrtVersion() const = 0;
    virtual char const* name() const = 0;
    virtual char const* version() const = 0;
    virtual Fields const* fieldNames() = 0;
    virtual Plugin* create(char const*, Fields const*) = 0;
    virtual Plugin* deserialize(char const*, void const*, size_t) = 0;
    virtual void setNamespace(char const*) = 0;
    virtual char const* nameSpace() const = 0;
    virtual ~Creator() = default;
};

struct NamedWork : SizeWork {
    bool known;
    int32_t value;
    bool isConstant() const override { return known; }
    int32_t constantValue() const override { return value; }
};
struct Named : Size {
    NamedWork named;
    std::string text;
    Named(bool known, int32_t value, std::string words) : text(std::move(words)) {
        named.known = known;
        named.value = value;
        work = &named;
    }
};
// Every size that is asked for lives as long as the process, as TensorRT keeps them for a build.
struct Writer : BuilderWork {
    Size const* constant(int32_t value) override {
        return new Named(true, value, std::to_string(value));
    }
    Size const* operation(int32_t kind, Size const& x, Size const& y) override {
        static char const* const names[] = {"+", "*", "max", "min", "-", "==", "<", "/", "ceil"};
        auto const& a = static_cast<Named const&>(x);
        auto const& b = static_cast<Named const&>(y);
        return new Named(false, 0, "(" + a.text + names[kind] + b.text + ")");
    }
};

std::string said;
void say(std::string const& line) { said += line + "\n"; }

void describe(Plugin* plugin, Writer& writer) {
    Builder builder;
    builder.work = &writer;
    Named open(false, 0, "n");
    Named five(true, 5, "5");
    Sizes input{2, {&open, &five}};
    for (int32_t i = 0; i < plugin->outputs(); ++i) {
        Sizes sizes = plugin->dimensions(i, &input, 1, builder);
        std::string line = "sizes";
        for (int32_t axis = 0; axis < sizes.count; ++axis)
            line += " " + static_cast<Named const*>(sizes.sizes[axis])->text;
        say(line);
    }
}

}  // namespace

// Every function once, in the order in which TensorRT calls them. 0, or which step failed.
extern "C" char const* use(Creator* creator, char const* record, int32_t length, int32_t calls) {
    said.clear();
    say(std::string("creator ") + creator->name() + " " + creator->version() + " [" +
        creator->nameSpace() + "] " + std::to_string(creator->tensorrtVersion()) + " " +
        std::to_string(creator->fieldNames()->count));
    creator->setNamespace("here");
    say(std::string("namespace ") + creator->nameSpace());
    Field field{"record", record, 6, length};
    Fields fields{1, &field};
    Plugin* made = creator->create("x", &fields);
    if (made == nullptr) {
        say("nothing was made");
        return said.c_str();
    }
    say(std::string("class ") + typeid(*made).name());
    std::vector<char> bytes(made->serializedSize());
    made->serialize(bytes.data());
    Plugin* read = creator->deserialize("y", bytes.data(), bytes.size());
    read->setNamespace("there");
    Plugin* plugin = read->clone();
    read->destroy();
    made->destroy();
    char interface[32];
    std::snprintf(interface, sizeof interface, "%x", plugin->tensorrtVersion());
    say(std::string("plugin ") + plugin->type() + " " + plugin->version() + " [" +
        plugin->nameSpace() + "] " + interface + " outputs " + std::to_string(plugin->outputs()));
    say("initialized " + std::to_string(plugin->initialize()));
    int32_t types[1] = {0};
    say("type " + std::to_string(plugin->outputType(0, types, 1)));
    plugin->attach(nullptr, nullptr, nullptr);
    Writer writer;
    describe(plugin, writer);
    Desc descs[2] = {{{2, {3, 5}}, 0, 0, 1.0F}, {{2, {10, 5}}, 0, 0, 1.0F}};
    std::string supported = "supports";
    auto ask = [&] { supported += plugin->supports(1, descs, 1, 1) ? " yes" : " no"; };
    ask();
    descs[1].type = 1;
    ask();
    descs[1].type = 0;
    descs[1].format = 4;
    ask();
    descs[1].format = 0;
    say(supported);
    DynamicDesc dynamic[2] = {{descs[0], {}, {}}, {descs[1], {}, {}}};
    plugin->configure(dynamic, 1, dynamic + 1, 1);
    say("workspace " + std::to_string(plugin->workspace(descs, 1, descs + 1, 1)));
    void const* reads[1] = {reinterpret_cast<void const*>(0x1000)};
    void* writes[1] = {reinterpret_cast<void*>(0x2000)};
    void* scratch = reinterpret_cast<void*>(0x3000);
    void* stream = reinterpret_cast<void*>(0x77);
    int32_t failed = 0;
    for (int32_t i = 0; i < calls; ++i)
        failed += plugin->enqueue(descs, descs + 1, reads, writes, scratch, stream);
    say("failed " + std::to_string(failed));
    failed = plugin->enqueue(descs, descs + 1, reads, writes, nullptr, nullptr);
    say("on no stream " + std::to_string(failed));
    plugin->detach();
    plugin->terminate();
    plugin->destroy();
    return said.c_str();
}

// The functions that the last interface has made private: TensorRT calls none of them.
extern "C" int32_t obsolete(Creator* creator, char const* record, int32_t length) {
    Field field{"record", record, 6, length};
    Fields fields{1, &field};
    Plugin* plugin = creator->create("x", &fields);
    bool flag = false;
    int32_t type = 0;
    Dims dims{1, {1}};
    int32_t answered = plugin->staticDimensions(0, &dims, 1).count == -1;
    answered += !plugin->obsoleteSupports(0, 0);
    plugin->obsoleteConfigure(&dims, 1, &dims, 1, 0, 0, 1);
    answered += plugin->obsoleteWorkspace(1) == 0;
    answered += plugin->obsoleteEnqueue(1, nullptr, nullptr, nullptr, nullptr) == 1;
    answered += !plugin->isBroadcast(0, &flag, 1);
    answered += plugin->canBroadcast(0);
    plugin->configureStatic(&dims, 1, &dims, 1, &type, &type, &flag, &flag, 0, 1);
    delete plugin;  // the destructor that frees memory
    return answered;
}
