--[[
NightFix for darktable: restores the selected raws, and puts each DNG into the group of its photo.

Install it: copy this file into darktable's folder lua/ (~/.config/darktable/lua/ on Linux and
macOS, %LOCALAPPDATA%\darktable\lua\ on Windows) and add the line

    require "nightfix"

to the file luarc beside that folder. After a restart, the module "NightFix" is on the right side
of the lighttable. Where `nightfix` is not on the PATH that darktable sees, name it in
preferences > Lua options.
]]

local dt = require "darktable"

local MODULE = "nightfix"
local WINDOWS = dt.configuration.running_os == "windows"

--- Tries under other names, where a DNG of other settings is there already.
local MOST_NAMES = 20

local PICTURES = {}
for ending in ("jpg jpeg jxl tif tiff png webp avif heic heif exr hdr pfm psd xcf gif mp4 mov"):gmatch("%S+") do
  PICTURES[ending] = true
end

dt.configuration.check_version(MODULE, { 7, 0, 0 }, { 8, 0, 0 }, { 9, 0, 0 })

dt.preferences.register(MODULE, "executable", "string", "NightFix: command",
  "The command nightfix, with its folder where darktable does not find it", "nightfix")

-- What can be chosen.

local function remembered(name, default)
  local kept = dt.preferences.read(MODULE, name, "string")
  return kept ~= "" and kept or default
end

local ratio = dt.new_widget("entry") {
  text = remembered("ratio", "auto"),
  placeholder = "auto",
  tooltip = "How many times brighter the photo should have been exposed; auto meters the scene",
}

local function choice(label, tooltip, values, kept)
  local widget = dt.new_widget("combobox") { label = label, tooltip = tooltip, table.unpack(values) }
  for index, value in ipairs(values) do
    if value == kept then widget.selected = index end
  end
  return widget
end

local steps = choice("steps", "Passes of the network; auto takes 1, or 3 for a very noisy photo",
  { "auto", "1", "2", "3", "4", "6", "8" }, remembered("steps", "3"))

local weights = choice("weights", "nightfix-fast takes a quarter of the time, for a little less detail",
  { "nightfix-base", "nightfix-fast" }, remembered("weights", "nightfix-base"))

local function slider(label, tooltip, low, high, step, digits, value)
  local widget = dt.new_widget("slider") {
    label = label, tooltip = tooltip, soft_min = low, soft_max = high, hard_min = low, hard_max = high,
    step = step, digits = digits,
  }
  widget.value = value
  return widget
end

local strength = slider("strength", "0 is only brightened, 100 fully restored", 0, 100, 5, 0,
  tonumber(remembered("strength", "100")))

local headroom = slider("lamps", "Stops kept above white. darktable shows the DNG darker by those that "
  .. "are used: add them in the exposure module, or cut the lamps by 0", 0, 8, 0.5, 1,
  tonumber(remembered("headroom", "1")))

-- Files and commands.

local function quoted(text)
  if WINDOWS then return '"' .. text:gsub('"', "") .. '"' end
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local function text_of(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read("a")
  file:close()
  return text
end

--- Run the command; return its exit code and what it said on stderr.
local function run(words)
  local log = os.tmpname()
  local parts = {}
  for _, word in ipairs(words) do parts[#parts + 1] = quoted(word) end
  local line = table.concat(parts, " ") .. " 2> " .. quoted(log)
  if WINDOWS then line = '"' .. line .. '"' end
  local code = dt.control.execute(line)
  local said = text_of(log)
  os.remove(log)
  return code, said
end

--- What was chosen, as words of the command line; nil and the reason where that is wrong.
local function options()
  local wanted = ratio.text:gsub("%s", ""):gsub(",", ".")
  if wanted == "" then wanted = "auto" end
  if wanted ~= "auto" and not (tonumber(wanted) and tonumber(wanted) >= 1) then
    return nil, "the ratio is 'auto' or a number of at least 1"
  end
  local function number(widget, digits)
    return (string.format("%." .. digits .. "f", widget.value):gsub(",", "."))
  end
  local chosen = {
    ratio = wanted, steps = steps.value, weights = weights.value,
    strength = number(strength, 0), headroom = number(headroom, 1),
  }
  local words = {}
  for _, name in ipairs { "ratio", "steps", "weights", "strength", "headroom" } do
    dt.preferences.write(MODULE, name, "string", chosen[name])
    words[#words + 1] = "--" .. name
    words[#words + 1] = chosen[name]
  end
  return words
end

--- Restore one photo; return the path of the DNG, or nil and what went wrong.
local function restore(image, chosen)
  local source = image.path .. (WINDOWS and "\\" or "/") .. image.filename
  local stem = source:gsub("%.[^./\\]*$", "")
  for number = 1, MOST_NAMES do
    local suffix = "_nightfix" .. (number > 1 and "_" .. number or "")
    local words = { dt.preferences.read(MODULE, "executable", "string"), "enhance", source,
      "--quiet", "--format", "dng", "--suffix", suffix }
    for _, word in ipairs(chosen) do words[#words + 1] = word end
    local code, said = run(words)
    local result = stem .. suffix .. ".dng"
    if code == 0 and exists(result) then return result end
    if not said:find("already exists", 1, true) then
      local first = said:match("error: ([^\r\n]*)") or said:match("[^\r\n]+")
      return nil, first or "the command nightfix was not found; name it in preferences > Lua options"
    end
  end
  return nil, source .. ": there are " .. MOST_NAMES .. " DNGs of other settings already"
end

--- Tell raws by their names, since darktable knows only of those that it has shown already;
--- our own results are not restored again.
local function is_raw(image)
  local name = image.filename:lower()
  return not PICTURES[name:match("%.([^.]*)$") or ""] and not name:match("_nightfix[_%d]*%.dng$")
end

--- Put a DNG into the library, in the group of its photo and with its stars.
local function add(path, image)
  local added = dt.database.import(path)
  added:group_with(image.group_leader)
  added.rating = image.rating
  dt.tags.attach(dt.tags.create("nightfix"), added)
  return added
end

--- Restore photos one after the other; return what was added and what went wrong.
local function restore_all(images)
  local chosen, why = options()
  if not chosen then
    dt.print("NightFix: " .. why)
    return {}, { why }
  end
  local raws, added, troubles, stopped = {}, {}, {}, false
  for _, image in ipairs(images) do
    if is_raw(image) then raws[#raws + 1] = image end
  end
  if #raws == 0 then
    dt.print("NightFix: no raw is selected")
    return {}, { "no raw is selected" }
  end
  local job = dt.gui.create_job("NightFix", true, function(this)
    stopped = true
    this.valid = false
  end)
  for number, image in ipairs(raws) do
    if stopped then break end
    dt.print("NightFix: " .. image.filename .. " (" .. number .. " of " .. #raws .. ")")
    local path, trouble = restore(image, chosen)
    if path then
      added[#added + 1] = add(path, image)
    else
      troubles[#troubles + 1] = trouble
      dt.print_error("NightFix: " .. trouble)
    end
    if job.valid then job.percent = number / #raws end
  end
  if job.valid then job.valid = false end
  local told = "NightFix: " .. #added .. " restored"
  if #troubles > 0 then told = told .. ", " .. #troubles .. " failed: " .. troubles[1] end
  dt.print(told)
  return added, troubles
end

local button = dt.new_widget("button") {
  label = "restore the selected raws",
  tooltip = "Each becomes a DNG beside its photo, still raw, in the same group",
  clicked_callback = function() restore_all(dt.gui.action_images) end,
}

dt.register_lib(MODULE, "NightFix", true, false,
  { [dt.gui.views.lighttable] = { "DT_UI_CONTAINER_PANEL_RIGHT_CENTER", 20 } },
  dt.new_widget("box") {
    orientation = "vertical",
    dt.new_widget("label") { label = "ratio (auto or a number)", halign = "start" },
    ratio, steps, strength, headroom, weights, button,
  }, nil, nil)

-- For darktable's script manager, and for other scripts.
return {
  metadata = { name = "NightFix", purpose = "restore dark, noisy, shaken raws", author = "NightFix" },
  destroy = function() dt.gui.libs[MODULE].visible = false end,
  destroy_method = "hide",
  restart = function() dt.gui.libs[MODULE].visible = true end,
  show = function() dt.gui.libs[MODULE].visible = true end,
  restore = restore_all,
  widgets = { ratio = ratio, steps = steps, strength = strength, headroom = headroom,
    weights = weights, button = button },
}
