// Runs an engine that trtdsl saved from C++, with nothing of Python:
//
//     run m.engine input=x.npy ...      writes every output to <its name>.npy
//
// m.engine.json, beside the engine, has the names, types and shapes; nested outputs are in the order
// of a walk through them. An engine holds the types that TensorRT has: int64 is int32 on TensorRT 8.6.
// Not for engines with plugins of one's own, unless the engine holds their kernels (ahead_of_time).
// Source: NvInferRuntime.h of TensorRT 8.6 to 11.

#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <iostream>
#include <map>
#include <memory>

#include "npy.h"

namespace {

using nvinfer1::Dims;

void check(bool good, std::string const& what) {
    if (!good) throw std::runtime_error(what);
}

void check(cudaError_t error, std::string const& what) {
    check(error == cudaSuccess, what + ": " + cudaGetErrorString(error));
}

class Logger : public nvinfer1::ILogger {
    void log(Severity severity, char const* message) noexcept override {
        if (severity <= Severity::kWARNING) std::cerr << "TensorRT: " << message << '\n';
    }
};

// Device memory that frees itself.
class Memory {
public:
    Memory() = default;
    explicit Memory(size_t bytes) { check(cudaMalloc(&address_, bytes ? bytes : 1), "cudaMalloc"); }
    Memory(Memory&& other) noexcept { std::swap(address_, other.address_); }
    Memory& operator=(Memory&& other) noexcept {
        std::swap(address_, other.address_);
        return *this;
    }
    ~Memory() { cudaFree(address_); }
    void* get() const { return address_; }

private:
    void* address_ = nullptr;
};

// TensorRT asks for an output's memory, and says its shape, while it runs: some shapes only values
// tell, such as that of the boxes that a detector finds.
class Output : public nvinfer1::IOutputAllocator {
public:
    void* reallocateOutput(char const*, void*, uint64_t bytes, uint64_t) noexcept override {
        try {
            memory = Memory(bytes);
        } catch (std::exception const& error) {
            std::cerr << error.what() << '\n';
            return nullptr;  // TensorRT then fails
        }
        return memory.get();
    }
    // From TensorRT 10 on; 8.6 has no such method.
    void* reallocateOutputAsync(char const* name, void* old, uint64_t bytes, uint64_t alignment, cudaStream_t) {
        return reallocateOutput(name, old, bytes, alignment);
    }
    void notifyShape(char const*, Dims const& dims) noexcept override { shape = dims; }

    Memory memory;
    Dims shape{-1, {}};
};

// numpy's name of a type. By number, as 8.6 has no names for those of TensorRT 10.
std::string numpy_type(nvinfer1::DataType type) {
    static char const* const names[] = {"<f4", "<f2", "|i1", "<i4", "|b1", "|u1", "", "<u2", "<i8"};
    auto const index = static_cast<size_t>(type);
    check(index < std::size(names) && *names[index], "numpy has no type " + std::to_string(index));
    return names[index];  // bfloat16 as its bits
}

std::string text(std::vector<int64_t> const& shape) {
    std::string all;
    for (auto const size : shape) all += (all.empty() ? "" : "x") + std::to_string(size);
    return "(" + all + ")";
}

Memory upload(nvinfer1::ICudaEngine& engine, nvinfer1::IExecutionContext& context, std::string const& name,
              Npy const& x, cudaStream_t stream) {
    auto const type = numpy_type(engine.getTensorDataType(name.c_str()));
    check(x.type == type, "input " + name + " is " + x.type + ", and the engine takes " + type);
    Dims dims{};
    check(x.shape.size() <= Dims::MAX_DIMS, "input " + name + " has too many axes: " + text(x.shape));
    dims.nbDims = static_cast<int32_t>(x.shape.size());
    for (size_t i = 0; i < x.shape.size(); ++i) dims.d[i] = static_cast<std::remove_reference_t<decltype(dims.d[i])>>(x.shape[i]);
    check(context.setInputShape(name.c_str(), dims), "input " + name + " cannot be " + text(x.shape));
    Memory memory(x.data.size());
    check(cudaMemcpyAsync(memory.get(), x.data.data(), x.data.size(), cudaMemcpyHostToDevice, stream), "copy to the GPU");
    check(context.setTensorAddress(name.c_str(), memory.get()), "TensorRT refused the memory of " + name);
    return memory;
}

Npy download(std::string const& name, std::string const& type, Output const& output) {
    check(output.shape.nbDims >= 0, "TensorRT gave no shape of output " + name);
    Npy y{type, {output.shape.d, output.shape.d + output.shape.nbDims}, {}};
    size_t bytes = static_cast<size_t>(type[2] - '0');
    for (auto const size : y.shape) bytes *= static_cast<size_t>(size);
    y.data.resize(bytes);
    check(cudaMemcpy(y.data.data(), output.memory.get(), bytes, cudaMemcpyDeviceToHost), "copy from the GPU");
    return y;
}

void run(std::string const& path, std::map<std::string, std::string> inputs) {
    Logger logger;
    std::unique_ptr<nvinfer1::IRuntime> runtime{nvinfer1::createInferRuntime(logger)};
    check(runtime != nullptr, "TensorRT made no runtime");
    auto const plan = read_file(path);
    std::unique_ptr<nvinfer1::ICudaEngine> engine{runtime->deserializeCudaEngine(plan.data(), plan.size())};
    check(engine != nullptr, "TensorRT refused " + path + "; it must be the TensorRT and the GPU that built it");
    std::unique_ptr<nvinfer1::IExecutionContext> context{engine->createExecutionContext()};
    check(context != nullptr, "TensorRT made no context: is there memory on the GPU?");

    cudaStream_t stream{};
    check(cudaStreamCreate(&stream), "cudaStreamCreate");
    std::vector<Npy> arrays;  // they stay until the copies are done
    std::vector<Memory> memories;
    std::map<std::string, Output> outputs;
    for (int32_t i = 0; i < engine->getNbIOTensors(); ++i) {
        std::string const name = engine->getIOTensorName(i);
        if (engine->getTensorIOMode(name.c_str()) == nvinfer1::TensorIOMode::kOUTPUT) {
            check(context->setOutputAllocator(name.c_str(), &outputs[name]), "TensorRT refused output " + name);
            continue;
        }
        check(inputs.count(name) == 1, "no input " + name + "; give " + name + "=FILE.npy");
        arrays.push_back(read_npy(inputs[name]));
        inputs.erase(name);
        memories.push_back(upload(*engine, *context, name, arrays.back(), stream));
    }
    check(inputs.empty(), inputs.empty() ? "" : "the engine has no input " + inputs.begin()->first);

    check(context->enqueueV3(stream), "TensorRT did not run the engine");
    check(cudaStreamSynchronize(stream), "the run");
    for (auto const& [name, output] : outputs) {
        auto const y = download(name, numpy_type(engine->getTensorDataType(name.c_str())), output);
        write_npy(name + ".npy", y);
        std::cout << name << ' ' << y.type << ' ' << text(y.shape) << '\n';
    }
    check(cudaStreamDestroy(stream), "cudaStreamDestroy");
}

}  // namespace

int main(int argc, char** argv) {
    try {
        check(argc >= 2, "usage: run m.engine input=x.npy ...");
        std::map<std::string, std::string> inputs;
        for (int i = 2; i < argc; ++i) {
            std::string const word = argv[i];
            auto const equal = word.find('=');
            check(equal != std::string::npos, word + " is not input=FILE.npy");
            inputs[word.substr(0, equal)] = word.substr(equal + 1);
        }
        run(argv[1], inputs);
    } catch (std::exception const& error) {
        std::cerr << "run: " << error.what() << '\n';
        return 1;
    }
}
