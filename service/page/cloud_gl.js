// Points drawn by WebGL, seen by a camera that turns about a pivot on the photograph's optical axis.

// A point is drawn as large as its pixel was, and a little larger; from the side, as far as its neighbours are off, so that
// surfaces stay closed.
const VERTEX = `
attribute vec3 position;
attribute float spread;
attribute vec4 colour;
uniform mat3 turn;
uniform float pivot, distance, splat, aside;
uniform vec2 scale, lens, range;
varying vec4 tint;
void main() {
  vec3 p = turn * (position - vec3(0.0, 0.0, pivot)) + vec3(0.0, 0.0, distance);
  float near = range.x, far = range.y;
  gl_Position = vec4(scale * p.xy + lens * p.z, (p.z * (far + near) - 2.0 * near * far) / (far - near), p.z);
  gl_PointSize = clamp(splat * mix(1.0, spread, aside) * position.z / max(p.z, near), 1.0, 64.0);
  tint = colour;
}`;
const FRAGMENT = `
precision mediump float;
varying vec4 tint;
void main() {
  if (tint.a < 0.5) discard;
  gl_FragColor = vec4(tint.rgb, 1.0);
}`;
const LARGER = 1.4;

/**
 * A renderer for points in the camera frame (x right, y down, z forward).
 * @param {HTMLCanvasElement} canvas
 * @returns {{load: Function, colour: Function, draw: Function}|null} null where there is no WebGL
 */
export function pointRenderer(canvas) {
  const gl = canvas.getContext("webgl", { antialias: false, alpha: false, preserveDrawingBuffer: true });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [type, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  gl.clearColor(13 / 255, 14 / 255, 19 / 255, 1);
  const attribute = (name, size, type, normalised) => {
    const buffer = gl.createBuffer(), place = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, type, normalised, 0, 0);
    return (data) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    };
  };
  const positions = attribute("position", 3, gl.FLOAT, false), spreads = attribute("spread", 1, gl.FLOAT, false), colours = attribute("colour", 4, gl.UNSIGNED_BYTE, true);
  const uniform = Object.fromEntries(["turn", "pivot", "distance", "splat", "aside", "scale", "lens", "range"].map((name) => [name, gl.getUniformLocation(program, name)]));
  let points = null, count = 0;
  return {
    /** `cloud` as from unproject, with the map's width, height and focal length in pixels. */
    load(cloud) {
      points = cloud;
      count = cloud.pixels.length;
      positions(cloud.positions);
      spreads(cloud.spreads);
    },
    /** RGBA bytes per point; points with an alpha below half are left out. */
    colour: (rgba) => colours(rgba),
    /** `view`: yaw and pitch in radians, zoom (1 = as the photograph), pan [x, y] of the picture in map pixels. */
    draw(view) {
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      if (!count) return;
      const { width, height, focal, step, middle } = points;
      const fit = Math.min(canvas.width / width, canvas.height / height), unit = [(2 * fit) / canvas.width, (-2 * fit) / canvas.height];
      const [cy, sy, cp, sp] = [Math.cos(view.yaw), Math.sin(view.yaw), Math.cos(view.pitch), Math.sin(view.pitch)];
      gl.uniformMatrix3fv(uniform.turn, false, [cy, -sp * sy, cp * sy, 0, cp, sp, -sy, -sp * cy, cp * cy]);
      gl.uniform1f(uniform.pivot, middle);
      gl.uniform1f(uniform.distance, middle / view.zoom);
      gl.uniform1f(uniform.splat, LARGER * Math.ceil(step) * fit);
      gl.uniform1f(uniform.aside, Math.min(1, 2 * Math.hypot(sy, sp)));
      gl.uniform2f(uniform.scale, focal * unit[0], focal * unit[1]);
      gl.uniform2f(uniform.lens, view.pan[0] * unit[0], view.pan[1] * unit[1]);
      gl.uniform2f(uniform.range, middle / 100, middle * 100);
      gl.drawArrays(gl.POINTS, 0, count);
    },
  };
}
